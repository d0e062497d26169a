/**
 * A configuration file as a tree with places, whatever its format; and the tree as settings. Each format has
 * its own file that makes such a tree: yaml-tree.ts, toml-tree.ts.
 */

import { CONFIG_KEYS, CONFIG_TABLES } from './keys.ts';
import { nearest } from './nearest.ts';
import { describeFound, type Fault, type Setting, type Source } from './setting.ts';

export interface TreeEntry {
  readonly key: string;
  /** Of the key; counted from 1. */
  readonly line: number;
  readonly column: number;
  readonly value: TreeValue;
}

export type TreeValue =
  | { readonly kind: 'table'; readonly entries: readonly TreeEntry[] }
  /** Anything but a table; what it is, is checked later. */
  | { readonly kind: 'plain'; readonly value: unknown };

/** What a parser made of a file. With faults there may be no entries. */
export interface ParsedFile {
  readonly entries: readonly TreeEntry[];
  readonly faults: readonly TreeFault[];
}

export interface TreeFault {
  readonly line: number;
  readonly column: number;
  readonly key: string | null;
  readonly message: string;
}

/** Tables inside of tables: more than the schema has, and few enough for any stack. */
export const TREE_DEPTH_MAX = 16;

export const TOO_DEEP = 'lists or tables inside of each other, deeper than can be read';

export function settingsOf(file: string, parsed: ParsedFile): Source {
  const settings: Setting[] = [];
  const faults: Fault[] = parsed.faults.map(({ line, column, key, message }) => ({
    key,
    origin: { kind: 'file', file, line, column },
    message,
  }));
  const visit = (entries: readonly TreeEntry[], prefix: string): void => {
    for (const { key, line, column, value } of entries) {
      const name = prefix + key;
      const origin = { kind: 'file', file, line, column } as const;
      if (key.includes('.')) {
        faults.push({ key, origin, message: 'a key with a dot in it, wanted a table with a key in it' });
      } else if (CONFIG_TABLES.has(name)) {
        if (value.kind === 'table') visit(value.entries, `${name}.`);
        // `redis:` with nothing below it is how a table looks whose keys are all comments.
        else if (value.value !== null)
          faults.push({ key: name, origin, message: notATable(name, value.value) });
      } else if (CONFIG_KEYS.has(name)) {
        settings.push({ key: name, value: value.kind === 'table' ? {} : value.value, origin });
      } else {
        faults.push({ key: name, origin, message: unknownKey(name) });
      }
    }
  };
  visit(parsed.entries, '');
  return { settings, faults };
}

function notATable(table: string, value: unknown): string {
  return `found ${describeFound(value, false)}, wanted a table with ${keysUnder(table).join(', ')}`;
}

/** Names the nearest known key, or those there are. */
export function unknownKey(name: string): string {
  const near = nearest(name, [...CONFIG_KEYS.keys(), ...CONFIG_TABLES]) ?? sameLastWord(name);
  if (near !== null) return `unknown key; did you mean ${near}?`;
  const table = name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : '';
  return `unknown key; known are ${keysUnder(CONFIG_TABLES.has(table) ? table : '').join(', ')}`;
}

/** A key of that name in another table: `port` for `redis.port`. */
function sameLastWord(name: string): string | null {
  const word = name.slice(name.lastIndexOf('.') + 1);
  return [...CONFIG_KEYS.keys()].find((known) => known.endsWith(`.${word}`)) ?? null;
}

/** Names of what stands in a table; '' is the whole. */
function keysUnder(table: string): string[] {
  const prefix = table === '' ? '' : `${table}.`;
  const names = [...CONFIG_KEYS.keys()].filter((name) => name.startsWith(prefix));
  return [...new Set(names.map((name) => name.slice(prefix.length).split('.')[0] ?? ''))];
}
