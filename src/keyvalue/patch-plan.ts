/**
 * In which order changes of records are sent (patch.ts), so that whoever reads in between, or after an
 * interruption, finds a state that holds together.
 *
 * Changes come in the order of keys. Strings and small hashes stand for themselves, and go in batches as they
 * come. What belongs together, the head of a large hash with its fields, a session with its slot, goes last
 * and in one command, which takes effect whole or not at all. Where that would exceed LINKED_BYTES_MAX it
 * goes in stages instead: first the heads that change are taken out, so that nobody sees these hashes; then
 * come fields and sessions; then the new heads and what refers to sessions. Interrupted there, hashes are
 * missing that a repetition brings back.
 *
 * Memory is bounded by a batch, LINKED_BYTES_MAX, and the heads and slots that differ.
 */

import { sha256 } from '../base/digest.ts';
import type { StoredValue } from '../base/merkle/node.ts';
import { isUserKey, PREFIX_COUNTS, PREFIX_SESSION, PREFIX_SESSION_SLOT } from './layout.ts';
import type { RecordChange } from './patch.ts';
import { isLargeHead } from './record-check.ts';

/** A change as it was found: what the record was may be known by its hash only. */
export interface FoundChange {
  readonly key: Uint8Array;
  readonly before: StoredValue | null;
  readonly after: Uint8Array | null;
}

/** Takes changes as one command. Tells whether they took effect: not when a record had changed meanwhile. */
export type SendPatch = (changes: readonly RecordChange[]) => Promise<'done' | 'conflict'>;

/** Of one command, unless one change alone has more: some milliseconds of the event loop. */
const BATCH_CHANGES = 512;
const BATCH_BYTES = 256 * 1024;

/** What goes in one command although it is more. */
const LINKED_BYTES_MAX = 4 * 1024 * 1024;

/** Bytes of a change besides key and value. */
const CHANGE_OVERHEAD_BYTES = 128;

export class PatchPlan {
  readonly #send: SendPatch;
  readonly #linkedBytesMax: number;
  readonly #batch: RecordChange[] = [];
  #batchBytes = 0;
  /** What goes together, as long as it is not too much. */
  readonly #linked: FoundChange[] = [];
  #linkedBytes = 0;
  /** Whether it is: then what goes last. */
  #isStaged = false;
  readonly #last: RecordChange[] = [];
  /** A stage had a conflict: later ones rely on it, and are not sent. */
  #isCutShort = false;
  #changesDone = 0;
  #conflicts = 0;
  #counts: FoundChange | null = null;

  /** @param linkedBytesMax Bytes of what goes together in one command; more goes in stages. */
  constructor(send: SendPatch, linkedBytesMax: number = LINKED_BYTES_MAX) {
    this.#send = send;
    this.#linkedBytesMax = linkedBytesMax;
  }

  /** Changes that took effect. */
  get changesDone(): number {
    return this.#changesDone;
  }

  /** Changes that did not, since a record of their command had another value by then. */
  get conflicts(): number {
    return this.#conflicts;
  }

  /** The change of the counts, which commands do not take among others; null for none. */
  get counts(): FoundChange | null {
    return this.#counts;
  }

  async add(found: FoundChange): Promise<void> {
    if (found.key[0] === PREFIX_COUNTS) this.#counts = found;
    else if (isPlain(found)) await this.#addToBatch(changeOf(found));
    else if (this.#isStaged) await this.#addStaged(found);
    else await this.#addLinked(found);
  }

  /** Sends what is left. */
  async finish(): Promise<void> {
    await this.#flush();
    if (this.#linked.length > 0) await this.#sendAll(this.#linked.splice(0).map(changeOf));
    for (const change of this.#last.splice(0)) await this.#addToBatch(change);
    await this.#flush();
  }

  async #addLinked(found: FoundChange): Promise<void> {
    this.#linked.push(found);
    this.#linkedBytes += bytesOf(found);
    if (this.#linkedBytes <= this.#linkedBytesMax) return;
    await this.#flush();
    this.#isStaged = true;
    for (const each of this.#linked.splice(0)) await this.#addStaged(each);
  }

  async #addStaged(found: FoundChange): Promise<void> {
    const { key, before, after } = found;
    const change = changeOf(found);
    if (isUserKey(key)) {
      if (!isLargeValue(before)) return void this.#last.push(change);
      await this.#addToBatch({ ...change, after: null });
      if (after !== null) this.#last.push({ ...change, before: null });
    } else if (key[0] === PREFIX_SESSION_SLOT || (key[0] === PREFIX_SESSION && after === null)) {
      this.#last.push(change);
    } else {
      await this.#addToBatch(change);
    }
  }

  async #addToBatch(change: RecordChange): Promise<void> {
    const bytes = change.key.length + (change.after?.length ?? 0) + CHANGE_OVERHEAD_BYTES;
    if (this.#batchBytes + bytes > BATCH_BYTES) await this.#flush();
    this.#batch.push(change);
    this.#batchBytes += bytes;
    if (this.#batch.length >= BATCH_CHANGES) await this.#flush();
  }

  async #flush(): Promise<void> {
    const changes = this.#batch.splice(0);
    this.#batchBytes = 0;
    if (changes.length > 0) await this.#sendAll(changes);
  }

  async #sendAll(changes: readonly RecordChange[]): Promise<void> {
    const outcome = this.#isCutShort ? 'conflict' : await this.#send(changes);
    if (outcome === 'done') {
      this.#changesDone += changes.length;
    } else {
      this.#conflicts += changes.length;
      this.#isCutShort = this.#isStaged;
    }
  }
}

function changeOf({ key, before, after }: FoundChange): RecordChange {
  if (before === null) return { key, before, after };
  return { key, before: before.kind === 'node' ? before.hash : sha256(before.bytes), after };
}

/** Whether a record stands for itself, before and after. */
function isPlain({ key, before, after }: FoundChange): boolean {
  return isUserKey(key) && !isLargeValue(before) && !(after !== null && isLargeHead(after));
}

/** Heads are short, and stand in their leaf. */
function isLargeValue(value: StoredValue | null): boolean {
  return value?.kind === 'inline' && isLargeHead(value.bytes);
}

function bytesOf({ key, after }: FoundChange): number {
  return key.length + (after?.length ?? 0) + CHANGE_OVERHEAD_BYTES;
}
