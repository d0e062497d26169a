/**
 * A delta: what turns one state into another, as JSON lines (docs/format.md §9). A header names both states;
 * a line for each record follows, in the order of keys; the last line counts them and has the checksum of all
 * before it, so that a file that was cut or changed is noticed.
 */

import { createHash } from 'node:crypto';
import { bufferOf } from '../base/bytes.ts';
import type { DiffCost } from '../base/merkle/diff-states.ts';
import type { DecidedDifference } from '../base/merkle/difference.ts';
import type { StoredValue } from '../base/merkle/node.ts';
import { type JsonKey, type JsonValue, keyToJson, valueToJson } from '../keyvalue/record-json.ts';
import type { StoredState } from '../node/stored-state.ts';

export const DELTA_VERSION = 1;

export interface DeltaState {
  readonly root: string;
  readonly cluster: string;
  readonly index: number;
  readonly time: number;
  readonly keys: number;
}

export interface DeltaHeader {
  readonly tidemarkDelta: number;
  readonly machine: { readonly name: string; readonly version: number };
  readonly source: DeltaState;
  readonly target: DeltaState;
  /** Whether every key and value that differs is in it: only then can it be applied. */
  readonly complete: boolean;
}

export interface DeltaLine {
  readonly change: DecidedDifference['kind'];
  readonly of: JsonKey;
  /** Missing where the record was not there; null where values were not asked for. */
  readonly before?: JsonValue | null;
  readonly after?: JsonValue | null;
}

export type DeltaCounts = Readonly<Record<DecidedDifference['kind'], number>>;

export interface DeltaEnd {
  readonly end: DeltaCounts & {
    /** SHA-256 of the bytes of all lines before, 64 lower-case hexadecimal digits. */
    readonly sha256: string;
    /** What finding them has cost. */
    readonly rounds: number;
    readonly nodes: number;
    readonly bytes: number;
  };
}

export class DeltaWriter {
  readonly #write: (line: string) => void;
  readonly #hash = createHash('sha256');
  readonly #counts = { added: 0, changed: 0, deleted: 0 };

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  header(source: StoredState, target: StoredState, complete: boolean): void {
    const { machine } = target.facts;
    const states = { source: describeState(source), target: describeState(target) };
    this.#put({ tidemarkDelta: DELTA_VERSION, machine, ...states, complete });
  }

  change(found: DecidedDifference, values: 'none' | 'full'): void {
    const { kind, key } = found;
    this.#counts[kind]++;
    const json = (value: StoredValue): JsonValue | null =>
      values === 'full' && value.kind === 'inline' ? valueToJson(key, value.bytes) : null;
    this.#put({
      change: kind,
      of: keyToJson(key),
      ...('source' in found ? { before: json(found.source) } : {}),
      ...('target' in found ? { after: json(found.target) } : {}),
    });
  }

  end({ rounds, nodes, bytes }: DiffCost): void {
    const cost = { rounds, nodes: nodes.source + nodes.target, bytes: bytes.source + bytes.target };
    const end: DeltaEnd = { end: { ...this.#counts, sha256: this.#hash.digest('hex'), ...cost } };
    this.#write(JSON.stringify(end));
  }

  #put(line: DeltaHeader | DeltaLine): void {
    const text = JSON.stringify(line);
    this.#hash.update(`${text}\n`);
    this.#write(text);
  }
}

function describeState({ root, keys, facts }: StoredState): DeltaState {
  const { clusterId: cluster, index, time } = facts;
  return { root: bufferOf(root).toString('hex'), cluster, index, time, keys };
}
