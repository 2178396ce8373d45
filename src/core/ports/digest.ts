/** A sha256 that is being computed. */
export interface RunningDigest {
  update(bytes: Uint8Array | string): void;
  /** 64 hex digits; nothing may be added then. */
  hex(): string;
}
