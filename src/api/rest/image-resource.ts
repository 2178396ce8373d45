/*
 * Images and layers as they go over the wire, in types alone; see resource.ts.
 */

/** A layer of an image. */
export interface WireImageLayer {
  readonly chainId: string;
  readonly diffId: string;
  /** Bytes of the content that it adds. */
  readonly sizeBytes: number;
  /** Others that have it too: images by name, engines by `containerd` or `docker`. */
  readonly sharedWith: readonly string[];
}

/** An image whose layers are here. */
export interface WireImage {
  /** Digest of its configuration. */
  readonly id: string;
  readonly names: readonly string[];
  readonly manifest: string | null;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | null;
  readonly createdAt: string | null;
  readonly importedAt: string;
  readonly pool: string;
  /** Of all its layers. */
  readonly sizeBytes: number;
  /** Of those that nobody else has: what removing it frees, nearly. */
  readonly ownBytes: number;
  /** Volumes that were made from it. */
  readonly volumes: readonly string[];
  /** The lowest first. */
  readonly layers: readonly WireImageLayer[];
  readonly config: {
    readonly user: string;
    readonly env: readonly string[];
    readonly entrypoint: readonly string[];
    readonly cmd: readonly string[];
    readonly workingDir: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly volumes: readonly string[];
    readonly ports: readonly string[];
  };
  readonly history: readonly {
    readonly created: string;
    readonly createdBy: string;
    readonly comment: string;
    readonly empty: boolean;
  }[];
}

/** A layer of an image, a container, a volume or a snapshot. */
export interface WireLayer {
  readonly id: string;
  readonly pool: string;
  readonly kind: "active" | "view" | "committed";
  /** The layer that it was made from, when that is still here. */
  readonly parent: string | null;
  readonly chainId: string | null;
  /** Bytes that it adds, as far as somebody has counted them. */
  readonly sizeBytes: number | null;
  /** What needs it: `image app:1`, `volume data`, `snapshot data@3f2c9a`, `containerd KEY`, `docker KEY`. Empty: it goes. */
  readonly usedBy: readonly string[];
}

/** Images that were brought. */
export interface WireImages {
  readonly images: readonly WireImage[];
}

/** What a removal did. */
export interface WireRemovedImage {
  readonly id: string;
  /** Names that it lost. */
  readonly untagged: readonly string[];
  /** False: it is still here, under other names. */
  readonly removed: boolean;
}

/** What removing the unused did. */
export interface WirePruned {
  readonly removed: readonly WireRemovedImage[];
}

/** Asks for an image of a registry. */
export interface PullBody {
  readonly reference: string;
  readonly platform?: string | undefined;
  readonly tag?: string | undefined;
}

/** Asks for the end of unused images. */
export interface PruneImagesBody {
  /** Also those with a name, from which no volume was made. */
  readonly all?: boolean | undefined;
}
