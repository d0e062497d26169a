/**
 * YAML as a tree with places. Aliases are refused: a configuration needs none, and with them a few lines
 * stand for gigabytes.
 */

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type YAMLMap,
} from 'yaml';
import {
  type ParsedFile,
  TOO_DEEP,
  TREE_DEPTH_MAX,
  type TreeEntry,
  type TreeFault,
  type TreeValue,
} from './config-tree.ts';

export function parseYamlTree(text: string): ParsedFile {
  const lines = new LineCounter();
  const document: Document.Parsed = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false, // Told below, with both places.
    logLevel: 'error',
  });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  if (document.errors.length > 0) {
    const faults = document.errors.map(({ pos, message }) => ({ ...at(pos[0]), key: null, message }));
    return { entries: [], faults };
  }
  return new TreeBuilder(at).build(document.contents);
}

type PlaceOf = (offset: number) => { readonly line: number; readonly column: number };

class TreeBuilder {
  readonly #at: PlaceOf;
  readonly #faults: TreeFault[] = [];

  constructor(at: PlaceOf) {
    this.#at = at;
  }

  build(contents: ParsedNode | null): ParsedFile {
    if (contents === null || (isScalar(contents) && contents.value === null))
      return { entries: [], faults: [] };
    if (isMap(contents)) return { entries: this.#entriesOf(contents, '', 1), faults: this.#faults };
    this.#fault(contents.range[0], null, 'wanted keys with values, as in `dir: ./data`');
    return { entries: [], faults: this.#faults };
  }

  #entriesOf(map: YAMLMap.Parsed, prefix: string, depth: number): TreeEntry[] {
    const entries = new Map<string, TreeEntry>();
    for (const { key, value } of map.items) {
      const place = this.#at(key.range[0]);
      if (!isScalar(key)) {
        this.#fault(key.range[0], null, 'found something else than a word as a key, wanted a key');
        continue;
      }
      const name = String(key.value);
      const earlier = entries.get(name);
      if (earlier !== undefined) {
        this.#fault(key.range[0], prefix + name, `given twice, first in line ${earlier.line}; wanted once`);
        continue;
      }
      const tree = this.#valueOf(prefix + name, value, depth);
      if (tree !== null) entries.set(name, { key: name, ...place, value: tree });
    }
    return [...entries.values()];
  }

  /** Null for what is a fault. */
  #valueOf(key: string, value: ParsedNode | null, depth: number): TreeValue | null {
    if (value === null) return { kind: 'plain', value: null };
    if (isAlias(value)) {
      this.#fault(value.range[0], key, 'found an alias, wanted the value itself');
      return null;
    }
    if (isSeq(value)) return { kind: 'plain', value: [] };
    if (!isMap(value)) return { kind: 'plain', value: value.value };
    if (depth < TREE_DEPTH_MAX)
      return { kind: 'table', entries: this.#entriesOf(value, `${key}.`, depth + 1) };
    this.#fault(value.range[0], key, TOO_DEEP);
    return null;
  }

  #fault(offset: number, key: string | null, message: string): void {
    this.#faults.push({ ...this.#at(offset), key, message });
  }
}
