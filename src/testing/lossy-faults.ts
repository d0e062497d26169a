/**
 * What a misbehaving disk does on demand (`Fault`) or by chance (`FaultOdds`), apart from crashing.
 */

import { unreachable } from '../base/assert.ts';
import { namesOf } from '../storage/directory-tree.ts';
import type { SeededRandom } from './seeded-random.ts';

/** Every call that a file system or a file of it can get. */
export type IoOperation =
  | 'make-directory'
  | 'list'
  | 'stat'
  | 'open'
  | 'create'
  | 'rename'
  | 'remove'
  | 'sync-directory'
  | 'lock'
  | 'unlock'
  | 'size'
  | 'read'
  | 'write'
  | 'sync'
  | 'sync-data'
  | 'truncate'
  | 'close';

/** Operations that change what a power cut may leave behind. A crash before any other changes nothing. */
export const CHANGING_OPERATIONS: ReadonlySet<IoOperation> = new Set<IoOperation>([
  'make-directory',
  'create',
  'rename',
  'remove',
  'sync-directory',
  'lock',
  'write',
  'sync',
  'sync-data',
  'truncate',
]);

/** Operations that a read-only mount refuses. */
export const WRITING_OPERATIONS: ReadonlySet<IoOperation> = new Set<IoOperation>([
  'make-directory',
  'create',
  'rename',
  'remove',
  'lock',
  'write',
  'truncate',
]);

/** One call that a storage engine makes. */
export interface IoCall {
  /** From 1, in the order in which calls take effect. */
  readonly at: number;
  readonly op: IoOperation;
  readonly path: string;
  /** 0 where the operation has none. */
  readonly offset: number;
  readonly bytes: number;
}

interface FaultTarget {
  /** Only calls on this path; all when absent. */
  readonly path?: string;
  /** Calls it applies to and lets pass, before it strikes. @default 0 */
  readonly after?: number;
  /** How often it strikes. @default 1 */
  readonly times?: number;
}

/** A fault on demand. It applies to calls in the order in which they take effect. */
export type Fault = FaultTarget &
  (
    | { readonly kind: 'error'; readonly on: IoOperation; readonly code: string }
    /** EIO for a read that touches the range `[from, to)`. */
    | { readonly kind: 'read-error'; readonly from: number; readonly to: number }
    /** A read returns at most `bytes`, as if the file ended there. */
    | { readonly kind: 'short-read'; readonly bytes: number }
    /** A sync fails with EIO; what was dirty never reaches the disk, and the cache still shows it. */
    | { readonly kind: 'sync-loss' }
    /** Reported as done, visible in the cache, never on the disk. */
    | { readonly kind: 'lost-write' }
    /** The cache shows it in its place; on the disk it lands at `toOffset`, of `toPath` if there is one. */
    | { readonly kind: 'misdirected-write'; readonly toPath?: string; readonly toOffset: number }
  );

/** Probability of each fault, per call it applies to. All 0 unless told. */
export interface FaultOdds {
  /** EIO on any read. */
  readonly readError?: number;
  readonly shortRead?: number;
  /** One bit of what a read is about to read flips, at rest. */
  readonly bitFlip?: number;
  readonly syncLoss?: number;
  readonly lostWrite?: number;
  readonly misdirectedWrite?: number;
  /** EMFILE on open, create and lock. */
  readonly openExhausted?: number;
}

/** What becomes of one call. */
export type Strike =
  | Exclude<Fault, { kind: 'misdirected-write' | 'read-error' }>
  | { readonly kind: 'misdirected-write'; readonly toPath: string; readonly toOffset: number }
  | { readonly kind: 'bit-flip'; readonly offset: number; readonly bit: number };

interface Armed {
  readonly fault: Fault;
  passesLeft: number;
  strikesLeft: number;
}

export class Faults {
  readonly #random: SeededRandom;
  #armed: Armed[] = [];
  odds: FaultOdds = {};

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  arm(fault: Fault): void {
    this.#armed.push({ fault, passesLeft: fault.after ?? 0, strikesLeft: fault.times ?? 1 });
  }

  disarm(): void {
    this.#armed = [];
  }

  /** The fault that strikes this call, or null. At most one does; those on demand come first. */
  strike(call: IoCall): Strike | null {
    for (const armed of this.#armed) {
      if (!applies(armed.fault, call)) continue;
      if (armed.passesLeft > 0) {
        armed.passesLeft--;
        continue;
      }
      armed.strikesLeft--;
      if (armed.strikesLeft === 0) this.#armed = this.#armed.filter((other) => other !== armed);
      return onDemand(armed.fault, call);
    }
    return this.#byChance(call);
  }

  #byChance(call: IoCall): Strike | null {
    const { op, bytes } = call;
    if (op === 'read' && bytes > 0) return this.#readByChance(call);
    if (op === 'write' && bytes > 0) return this.#writeByChance(call);
    if (isSync(op)) return this.#happens(this.odds.syncLoss) ? { kind: 'sync-loss' } : null;
    const isOpening = op === 'open' || op === 'create' || op === 'lock';
    if (!isOpening || !this.#happens(this.odds.openExhausted)) return null;
    return { kind: 'error', on: op, code: 'EMFILE' };
  }

  #readByChance({ op, offset, bytes }: IoCall): Strike | null {
    const { odds } = this;
    if (this.#happens(odds.readError)) return { kind: 'error', on: op, code: 'EIO' };
    if (this.#happens(odds.shortRead)) return { kind: 'short-read', bytes: this.#random.below(bytes) };
    if (!this.#happens(odds.bitFlip)) return null;
    return { kind: 'bit-flip', offset: offset + this.#random.below(bytes), bit: this.#random.below(8) };
  }

  #writeByChance({ path, offset }: IoCall): Strike | null {
    const { odds } = this;
    if (this.#happens(odds.lostWrite)) return { kind: 'lost-write' };
    if (!this.#happens(odds.misdirectedWrite)) return null;
    const toOffset = Math.max(0, offset + 512 * this.#random.between(-16, 16));
    return { kind: 'misdirected-write', toPath: path, toOffset };
  }

  /** Draws nothing for a fault without odds, so that new kinds of faults leave old seeds as they were. */
  #happens(probability: number | undefined): boolean {
    return probability !== undefined && probability > 0 && this.#random.happens(probability);
  }
}

function applies(fault: Fault, call: IoCall): boolean {
  if (fault.path !== undefined && namesOf(fault.path).join('/') !== namesOf(call.path).join('/'))
    return false;
  switch (fault.kind) {
    case 'error':
      return fault.on === call.op;
    case 'read-error':
      return call.op === 'read' && call.offset < fault.to && call.offset + call.bytes > fault.from;
    case 'short-read':
      return call.op === 'read';
    case 'sync-loss':
      return isSync(call.op);
    case 'lost-write':
    case 'misdirected-write':
      return call.op === 'write';
    default:
      return unreachable(fault);
  }
}

function isSync(op: IoOperation): boolean {
  return op === 'sync' || op === 'sync-data';
}

function onDemand(fault: Fault, call: IoCall): Strike {
  if (fault.kind === 'read-error') return { kind: 'error', on: call.op, code: 'EIO' };
  if (fault.kind === 'misdirected-write') return { ...fault, toPath: fault.toPath ?? call.path };
  return fault;
}
