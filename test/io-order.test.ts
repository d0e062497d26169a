/**
 * The order of I/O calls (checklist A1–A6, A8, L2, L5). Goal: nothing leaves before it is durable, nothing
 * is named before it is whole, nothing is removed before what replaces it is there, nothing durable is
 * written over. Method: the rules are checked over the trace of every call of a workload; after every single
 * acknowledgement the power goes, and nothing that was not synced has reached the disk.
 */

import { ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { buffered } from '../src/log/durability.ts';
import type { IoCall } from '../src/testing/lossy-faults.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import type { CrashSubject } from './support/crash-explorer.ts';
import { FaultNode, LARGE_BYTES } from './support/fault-node.ts';
import {
  bufferedLogSubject,
  compactKnown,
  fillSegments,
  type KnownLog,
  logSubject,
  openKnown,
  truncateKnown,
} from './support/log-explorer.ts';
import { history } from './support/node-history.ts';
import { seedOf } from './support/seed.ts';

const SEGMENT_BYTES = 64 * 1024;
const HEADER_BYTES = 4096;
const STATUS_COPY_BYTES = 4096;
const STATUS_COPIES = 4;

/** A call for people: its number, what it does, and to what. */
function describe({ at, op, path, offset, bytes }: IoCall): string {
  return `${at}: ${op} ${path} [${offset}, ${offset + bytes})`;
}

/**
 * The rules of every trace. A handle keeps the name under which its file was opened, so what becomes a
 * segment is followed under the name of the spare that it was.
 * @param durability With `buffered` several batches of one segment may be on their way to the disk.
 */
function checkTrace(calls: readonly IoCall[], durability: 'synced' | 'buffered' = 'synced'): Traced {
  const files = new Map<string, TracedFile>();
  const status = new TracedStatus();
  let isDirectoryDirty = false;
  let batches = 0;
  let named: TracedFile | null = null;
  for (const call of calls) {
    const { op, path } = call;
    const file = files.get(path);
    const isNamed = isDirectoryDirty && named !== null;
    if (op === 'create' && path.includes('/spare-')) files.set(path, new TracedFile(path));
    else if (op === 'open' && file === undefined && /spare-|\.log$/.test(path))
      files.set(path, TracedFile.found(path));
    else if (op === 'write' && file !== undefined) {
      file.write(call, durability);
      if (!file.isSegment || call.offset < HEADER_BYTES) continue;
      batches++;
      // A2, A6: name durable, status durable, then the first batch.
      ok(!isNamed, `${describe(call)}: its name is durable first`);
      ok(status.isWhole && status.writes > file.statusWrites, `${describe(call)}: the status names it first`);
    } else if (op === 'sync' || op === 'sync-data') {
      file?.sync(op);
      if (path.endsWith('/status')) status.sync();
    } else if (op === 'write' && path.endsWith('/status')) {
      // A2: the status names a segment whose name is durable.
      ok(!isNamed, `${describe(call)}: what it names is durable first`);
      status.write(call);
    } else if (op === 'rename' && file !== undefined) {
      const dirty = [...files.values()].find((other) => other.isSegment && other.isDirty);
      ok(dirty === undefined, `A2: ${describe(call)}: what it follows, ${dirty?.path}, is durable first`);
      file.name(call, status.writes);
      named = file;
      isDirectoryDirty = true;
    } else if (op === 'rename' && path.endsWith('/status.tmp')) {
      isDirectoryDirty = true;
    } else if (op === 'sync-directory') {
      isDirectoryDirty = false;
    } else if (op === 'remove' && path.endsWith('.log')) {
      // A4: what replaces it is durable: the name of a new segment, or the status that needs it no more.
      ok(status.isWhole, `${describe(call)}: the status is durable first`);
      ok(!isNamed, `${describe(call)}: what replaces it is durable first`);
    }
  }
  const segments = [...files.values()].filter(({ isSegment }) => isSegment).length;
  return { segments, batches, statuses: status.writes };
}

interface Traced {
  readonly segments: number;
  readonly batches: number;
  readonly statuses: number;
}

/** A spare, and the segment that it becomes. */
class TracedFile {
  readonly path: string;
  isSegment = false;
  /** How often the status had been written when this became a segment. */
  statusWrites = 0;
  /** Zeros written so far, from the start; then the end of the batches. */
  #end = 0;
  #isZeroed = false;
  #isDirty = false;

  constructor(path: string) {
    this.path = path;
  }

  /** One of an earlier process: a spare that was found to be zeros, or a segment. */
  static found(path: string): TracedFile {
    const file = new TracedFile(path);
    file.#isZeroed = true;
    file.isSegment = path.endsWith('.log');
    file.statusWrites = -1;
    return file;
  }

  /** Whether anything was written to it that no sync has followed. */
  get isDirty(): boolean {
    return this.#isDirty;
  }

  write(call: IoCall, durability: 'synced' | 'buffered'): void {
    const { offset, bytes } = call;
    if (!this.#isZeroed) {
      strictEqual(offset, this.#end, `A8: ${describe(call)}: zeros from end to end`);
      this.#end += bytes;
      this.#isDirty = true;
      return;
    }
    if (!this.isSegment) {
      // Header, and what recovery copies behind it; both before the name.
      ok(offset === 0 || offset === HEADER_BYTES, `A8: ${describe(call)}: a header, or the suffix`);
      this.#end = offset + bytes;
    } else {
      ok(durability === 'buffered' || !this.#isDirty, `A5: ${describe(call)}: one batch at a time`);
      ok(offset >= this.#end, `A5: ${describe(call)}: nothing durable is written over, up to ${this.#end}`);
      strictEqual(offset % HEADER_BYTES, 0, `A5: ${describe(call)}: a batch has blocks of its own`);
      this.#end = offset + bytes;
    }
    this.#isDirty = true;
  }

  sync(op: 'sync' | 'sync-data'): void {
    if (!this.#isZeroed) {
      strictEqual(op, 'sync', `A8: ${this.path} is synced with its metadata`);
      ok(this.#end >= SEGMENT_BYTES, `A8: ${this.path} is zeroed to its end`);
      this.#isZeroed = true;
    }
    this.#isDirty = false;
  }

  name(call: IoCall, statusWrites: number): void {
    ok(this.#isZeroed, `A8: ${describe(call)}: it was zeroed and synced`);
    ok(!this.#isDirty, `A2: ${describe(call)}: its content is durable first`);
    this.isSegment = true;
    this.statusWrites = statusWrites;
  }
}

/** The four copies: one after the other, each durable before the next is touched (A5). */
class TracedStatus {
  /** Whole rewrites begun. */
  writes = 0;
  #copiesLeft = 0;
  #isDirty = false;

  get isWhole(): boolean {
    return this.#copiesLeft === 0 && !this.#isDirty;
  }

  write(call: IoCall): void {
    ok(!this.#isDirty, `A5: ${describe(call)}: the copy before is durable`);
    strictEqual(call.bytes, STATUS_COPY_BYTES);
    if (this.#copiesLeft === 0) {
      this.writes++;
      this.#copiesLeft = STATUS_COPIES;
    }
    this.#copiesLeft--;
    this.#isDirty = true;
  }

  sync(): void {
    this.#isDirty = false;
  }
}

for (const durability of ['synced', 'buffered'] as const) {
  const what = `${durability}, every call of a node and of its restarts keeps the order`;
  test(`order A2, A4, A5, A6, A8: ${what}`, async () => {
    for (let seed = 1; seed <= 20; seed++) {
      let subject = await FaultNode.start({ seed }, durability === 'synced' ? 'synced' : buffered());
      for (let restart = 0; restart < 3; restart++) {
        for (let count = 0; count < 8; count++) await subject.step(count % 3 === 0 ? 10 : LARGE_BYTES);
        subject.clock.advance(1000);
        await subject.settle();
        const traced = checkTrace(subject.files.calls, durability);
        const { segments, batches, statuses } = traced;
        ok(segments >= 1 && batches >= 8 && statuses >= 1, JSON.stringify(traced));
        subject = restart === 0 ? subject.killed() : subject.cut();
        await subject.open();
      }
    }
  });
}

for (const subject of [logSubject, bufferedLogSubject])
  test(`order A2, A4, A5, A6: a ${subject.name} that is truncated and compacted keeps the order too`, () =>
    traceChanges(subject));

async function traceChanges(subject: CrashSubject<KnownLog>): Promise<void> {
  for (let seed = 1; seed <= 10; seed++) {
    const files = new LossyFileSystem({ seed });
    const known = subject.newKnown();
    const open = await openKnown(files, seed, known);
    await fillSegments(open, known, 5);
    await compactKnown(open, known, 6);
    await truncateKnown(open, known, known.entries.length - 7);
    await fillSegments(open, known, 2);
    const before = files.callCount;
    await compactKnown(open, known, known.entries.length - 1);
    const removed = files.calls.filter(({ at, op, path }) => {
      return at > before && op === 'remove' && path.endsWith('.log');
    });
    ok(removed.length >= 2);
    const inOrder = removed.map(({ path }) => path).sort();
    strictEqual(removed.map(({ path }) => path).join(), inOrder.join(), 'A4: oldest first');
    await open.close();
    checkTrace(files.calls, known.durability.kind);
  }
}

test('order A2, A3: a new directory is durable in its parent, and whole before it has a status', async () => {
  const subject = new FaultNode();
  await subject.open();
  const calls = subject.files.calls.map(({ op, path }) => `${op} ${path}`);
  const inOrder = [
    'make-directory data',
    'sync-directory .',
    'lock data/lock',
    'make-directory data/log',
    'sync-directory data',
    'create data/log/spare-1',
    'sync data/log/spare-1',
    'rename data/log/spare-1',
    'sync-directory data/log',
    'create data/status.tmp',
    'write data/status.tmp',
    'sync data/status.tmp',
    'rename data/status.tmp',
    'sync-directory data',
  ];
  let from = 0;
  for (const wanted of inOrder) {
    const at = calls.indexOf(wanted, from);
    ok(
      at >= 0,
      `${wanted} comes after ${calls[from - 1] ?? 'the start'}; the calls are\n${calls.join('\n')}`,
    );
    from = at + 1;
  }
});

test('order A1, L2, L5: after every acknowledgement the power goes; what it promised is there', async (t) => {
  const seed = seedOf(t);
  let cuts = 0;
  for (let run = 0; run < 40; run++) {
    const random = new SeededRandom(seed + run);
    const subject = await FaultNode.start({ seed: seed + run });
    const images: { readonly k: number; readonly files: LossyFileSystem }[] = [];
    for (let k = 1; k <= 24; k++) {
      const blob = new Uint8Array(random.pick([0, 10, LARGE_BYTES]));
      const answered = new Promise<void>((resolve, reject) => {
        subject.node.ordering.enqueue(history.encodeCall('step', [{ k, blob }]), {
          // The moment of the acknowledgement, not a microtask later: more could be durable by then.
          settle() {
            const [barest] = subject.files.crashImages({
              subsetUnitsMax: 0,
              randomSubsets: 0,
              byteTearsMax: 0,
            });
            images.push({ k, files: barest!.files });
            resolve();
          },
          fail: reject,
        });
      });
      if (random.happens(0.5)) await answered;
      else if (random.happens(0.3)) await turn();
    }
    await subject.settle();
    strictEqual(images.length, 24);
    for (const { k, files } of images.filter(() => random.happens(0.3))) {
      const image = new FaultNode(files);
      Object.assign(image.known, { sent: 24, acknowledged: k });
      await image.check();
      cuts++;
    }
  }
  t.diagnostic(`${cuts} power cuts`);
});
