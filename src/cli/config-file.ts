import { relative } from "node:path";
import { LineCounter, isMap, isNode, isScalar, parseDocument, type Document } from "yaml";
import { ServableError, messageOf } from "../errors.ts";

/** A path into the file: keys and indices. */
export type ConfigPath = readonly (string | number)[];

/** A parsed YAML file that still knows where everything stands. JSON is YAML, too. */
export class ConfigFile {
  /** What it says, as plain data. */
  readonly value: unknown;
  readonly #name: string;
  readonly #document: Document;
  readonly #lines = new LineCounter();

  /** @throws ServableError `invalid_config` for what is not YAML */
  constructor(path: string, text: string) {
    const shown = relative(process.cwd(), path);
    this.#name = shown.startsWith("..") ? path : shown;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const [error] = this.#document.errors;
    if (error !== undefined) {
      throw new ServableError("invalid_config", `${this.#at(error.pos[0])} is not valid YAML: ${error.message}`, { cause: error });
    }
    try {
      this.value = this.#document.toJS({ maxAliasCount: 100 });
    } catch (thrown) {
      throw new ServableError("invalid_config", `${this.#name} is not valid YAML: ${messageOf(thrown)}`, { cause: thrown });
    }
  }

  /** File, line and column of a value; of the nearest one around it where it is missing. */
  positionOf(path: ConfigPath): string {
    for (let length = path.length; length >= 0; length--) {
      const node = this.#document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) return this.#at(node.range[0]);
    }
    return this.#at(0);
  }

  /** File, line and column of a key of the object at `path`. */
  positionOfKey(path: ConfigPath, key: string): string {
    const node = path.length === 0 ? this.#document.contents : this.#document.getIn(path, true);
    if (!isMap(node)) return this.positionOf(path);
    const keys = node.items.map((pair) => pair.key);
    const found = keys.find((candidate) => isScalar(candidate) && String(candidate.value) === key);
    return isScalar(found) && found.range ? this.#at(found.range[0]) : this.positionOf(path);
  }

  #at(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.#name}:${Math.max(1, line)}:${Math.max(1, col)}`;
  }
}
