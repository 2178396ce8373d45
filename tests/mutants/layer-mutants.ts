import type { Mutant } from "./mutant.ts";

const TESTS = ["tests/conformance/host-layer-tar.test.ts"];

const UNTOUCHED = ["tests/scenario/untouched-layers.test.ts"];

/** In how layers of images are applied and made. */
export const LAYER_MUTANTS: readonly Mutant[] = [
  {
    name: "layer-ways-leave-the-root",
    file: "src/host/libc-layer.ts",
    before: "howToOpen(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)",
    after: "howToOpen(0)",
    breaks: "A link in an image leads what is unpacked out of it.",
    tests: TESTS,
  },
  {
    name: "whiteouts-take-their-own",
    file: "src/host/layer-writer.ts",
    before: 'this.#came.has(key + name.toString("latin1", 0, name.length - 1))',
    after: "false",
    breaks: "Files of a layer are lost to its own opaque directories.",
    tests: TESTS,
  },
  {
    name: "directories-hand-down",
    file: "src/host/layer-directories.ts",
    before:
      "const inherits = (this.#stat.mode & SET_GROUP) !== 0 || hasAttribute(fd, DEFAULT_ACL);",
    after: "const inherits = false;",
    breaks: "Files of a layer get groups and access lists from where they lie.",
    tests: TESTS,
  },
  {
    name: "times-of-directories-forgotten",
    file: "src/host/layer-writer.ts",
    before: "this.#directories.restoreTimes();",
    after: "",
    breaks: "Directories of an image have the time at which it was unpacked.",
    tests: TESTS,
  },
  {
    name: "same-inode-is-same-content",
    file: "src/host/layer-equality.ts",
    before: "if (sameInode && a.hasChangeTimeOf(b)) return true;",
    after: "if (sameInode) return true;",
    breaks: "What was rewritten with its time put back is not in the layer.",
    tests: TESTS,
  },
  {
    name: "unchanged-names-forgotten",
    file: "src/host/layer-walk.ts",
    before: "else if (same) this.#links.remember(key, path, directory);",
    after: "else if (same) return;",
    breaks: "A file that was linked to another has only its own name in the layer.",
    tests: TESTS,
  },
  {
    name: "releases-come-back-alone",
    file: "src/services/layer-reaper.ts",
    before: "if (index.idleCount > 0 && records.unsettled) await records.settle();",
    after: "",
    breaks: "A power cut brings back a snapshot that containerd removed, without its content.",
    tests: ["tests/scenario/layer-store-crashes.test.ts"],
  },
  {
    name: "removals-wait-for-no-lull",
    file: "src/services/layer-reaper.ts",
    before: "index.changes !== seen",
    after: "false",
    breaks: "What was removed takes processor and disk from those who work.",
    tests: ["tests/scenario/layer-removals.test.ts"],
  },
  {
    name: "contents-go-after-their-records",
    file: "src/drivers/overlay/book.ts",
    before: "[...content, directory]",
    after: "[directory, ...content]",
    breaks: "A removal that breaks off leaves files that take room until the next start.",
    tests: ["tests/scenario/layer-removals.test.ts"],
  },
  {
    name: "whatever-is-committed-is-untouched",
    file: "src/drivers/overlay/keeping.ts",
    before: "if (await this.isUntouched(book, layer)) return true;",
    after: "return true;",
    breaks: "A power cut after a commit takes what the layer holds.",
    tests: UNTOUCHED,
  },
  {
    name: "untouched-layers-are-lost",
    file: "src/services/layer-repair.ts",
    before: "else if (layer.untouched) await this.#restoreUntouched(layer, there, signal);",
    after: "",
    breaks: "A layer to which nothing was added does not come again after a power cut.",
    tests: UNTOUCHED,
  },
  {
    name: "untouched-layers-are-trusted",
    file: "src/services/layer-repair.ts",
    before: "(!there.has(layer.id) || layer.untouched) &&",
    after: "!there.has(layer.id) &&",
    breaks: "Files that were removed before a commit are in the layer after a power cut.",
    tests: UNTOUCHED,
  },
  {
    name: "parents-come-later",
    file: "src/services/layer-repair.ts",
    before: "missing.sort(deeper)",
    after: "missing.sort(deeper).reverse()",
    breaks: "Of a chain of layers that a power cut took only the lowest comes again.",
    tests: UNTOUCHED,
  },
  {
    name: "writes-that-failed-early-are-forgotten",
    file: "src/services/layer-filling.ts",
    before: "    if (filled.failure !== undefined) throw filled.failure;\n",
    after: "",
    breaks: "A layer is committed of which the disk has not taken all.",
    tests: ["tests/scenario/layer-filling.test.ts"],
  },
];
