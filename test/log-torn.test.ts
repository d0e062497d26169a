/**
 * Torn writes at the end of the log (checklist B1 to B4). Whatever a crash leaves of the last batch, and
 * whatever stands there instead, the log opens by itself with everything before it. Method: every cut, every
 * subset of sectors and pages, bytes of earlier lives. SOAK=1 tries every cut of large batches too.
 */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { toIndex, toTerm, toTimeline } from '../src/base/positions.ts';
import { encodeHeader, RECORD_HEADER_BYTES } from '../src/log/record.ts';
import { decodeSegmentHeader, segmentSeed } from '../src/log/segment.ts';
import type { LogRecord } from '../src/log/segment-reader.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { assertUnchanged, type DiskBytes, diskFrom, put, readDisk } from './support/disk-bytes.ts';
import { bodyOf, DATA_DIR, LOG_DIR, SEGMENT_BYTES, TestLog } from './support/test-log.ts';

const IS_SOAK = process.env['SOAK'] === '1';

/** A log that was killed right after its last batch. */
interface Killed {
  readonly made: TestLog;
  readonly disk: DiskBytes;
  readonly tail: string;
  /** The tail's file. */
  readonly bytes: Uint8Array;
  /** The records of the last batch: offsets only. */
  readonly batch: readonly Pick<LogRecord, 'index' | 'offset' | 'endOffset'>[];
  readonly start: number;
  readonly end: number;
}

async function killedAfter(...sizes: readonly number[]): Promise<Killed> {
  const made = await TestLog.make();
  await made.write(40_000, 20);
  await made.write(30_000); // The second segment begins.
  await made.write(10, 700);
  await made.write(...sizes);
  const disk = await readDisk(made.fs, DATA_DIR);
  const tail = (await made.segments()).at(-1)!;
  const batch: Pick<LogRecord, 'index' | 'offset' | 'endOffset'>[] = [];
  const first = toIndex(made.log.lastIndex - sizes.length + 1);
  for await (const { index, offset, endOffset } of made.log.read(first))
    batch.push({ index, offset, endOffset });
  const start = batch[0]!.offset;
  return { made, disk, tail, bytes: disk.get(tail)!, batch, start, end: batch.at(-1)!.endOffset };
}

/** The disk with another tail. */
function withTail({ disk, tail }: Killed, bytes: Uint8Array): DiskBytes {
  return new Map(disk).set(tail, bytes);
}

/** Entries that are as they were written, up to the first that is not. What is cut off counts as zeros. */
function survivors({ bytes, batch }: Killed, damaged: Uint8Array): number {
  const whole = new Uint8Array(bytes.length);
  whole.set(damaged);
  const torn = batch.find(({ offset, endOffset }) => {
    return Buffer.compare(whole.subarray(offset, endOffset), bytes.subarray(offset, endOffset)) !== 0;
  });
  return (torn?.index ?? batch.at(-1)!.index + 1) - 1;
}

/** Of the disks opened, every eighth goes on to be written, closed and opened again. */
let opened = 0;

/** Opens the damaged disk: exactly the whole entries are there, and the log goes on. */
async function opensWith(
  killed: Killed,
  damaged: Uint8Array,
  last = survivors(killed, damaged),
): Promise<void> {
  const fs = await diskFrom(withTail(killed, damaged));
  const made = new TestLog({ fs, status: { ...killed.made.status } });
  await made.open();
  made.checkReplayed(last);
  ok(made.log.report.warnings.every((warning) => warning.startsWith('discarded a torn write at')));
  ok(made.log.report.warnings.length <= 1, 'one line');
  await made.check();
  if (opened++ % 8 !== 0 && !IS_SOAK) return;
  await made.write(5, 6000);
  await made.check(1, last + 2);
  await made.log.close();
  await made.open();
  made.checkReplayed(last + 2);
  deepStrictEqual(made.log.report.warnings, [], 'the discarded bytes are not met again');
}

const SMALL = [100, 300];
const LARGE = [9000, 50, 5000];

for (const { name, sizes, stride } of [
  { name: 'one small entry', sizes: [3], stride: IS_SOAK ? 1 : 3 },
  { name: 'two small entries', sizes: SMALL, stride: IS_SOAK ? 1 : 7 },
  { name: 'large entries', sizes: LARGE, stride: IS_SOAK ? 1 : 173 },
]) {
  test(`log B1: a batch of ${name}, cut at any byte by the end of the file`, async (t) => {
    const killed = await killedAfter(...sizes);
    let cuts = 0;
    for (let at = killed.start; at <= killed.end; at = next(killed, at, stride)) {
      await opensWith(killed, killed.bytes.subarray(0, at));
      cuts++;
    }
    t.diagnostic(`${cuts} cuts`);
  });

  test(`log B1, B3: a batch of ${name}, zero from any byte on`, async (t) => {
    const killed = await killedAfter(...sizes);
    let cuts = 0;
    for (let at = killed.start; at <= killed.end; at = next(killed, at, stride)) {
      const zeroed = Uint8Array.from(killed.bytes).fill(0, at);
      await opensWith(killed, zeroed);
      cuts++;
    }
    t.diagnostic(`${cuts} cuts`);
  });
}

/** The next place to cut: each of the first and last bytes of a record, and every `stride`-th in between. */
function next({ batch }: Killed, at: number, stride: number): number {
  const isNear = batch.some(({ offset }) => at >= offset - 2 && at < offset + RECORD_HEADER_BYTES + 2);
  if (isNear) return at + 1;
  const isPadding = at > batch.at(-1)!.endOffset - 4096 && (at & 4095) > 500;
  return isPadding ? at + 512 : at + stride;
}

const FILLS: readonly {
  readonly name: string;
  readonly fill: (bytes: Uint8Array, killed: Killed) => void;
}[] = [
  { name: 'zeros', fill: (bytes) => bytes.fill(0) },
  { name: 'ones', fill: (bytes) => bytes.fill(255) },
  { name: 'garbage', fill: (bytes) => new SeededRandom(bytes.length).fill(bytes) },
  {
    name: 'bytes of the segment before',
    fill: (bytes, { disk }) =>
      bytes.set(disk.get(`${LOG_DIR}/1-00000000000000000001.log`)!.subarray(4096, 4096 + bytes.length)),
  },
  {
    name: 'the first batch of this segment',
    fill: (bytes, killed) => bytes.set(killed.bytes.subarray(4096, 4096 + bytes.length)),
  },
];

for (const { name, fill } of FILLS) {
  for (const { grain, sizes } of [
    { grain: 512, sizes: [1900, 1000] },
    { grain: 4096, sizes: [9000, 50, 9000] },
  ]) {
    test(`log B2: ${name} in any subset of the last batch's ${grain}-byte parts`, async (t) => {
      const killed = await killedAfter(...sizes);
      const parts = (killed.end - killed.start) / grain;
      ok(parts >= 5, 'a batch of several parts');
      for (let subset = 0; subset < 2 ** parts; subset++) {
        const damaged = Uint8Array.from(killed.bytes);
        for (let part = 0; part < parts; part++) {
          const from = killed.start + part * grain;
          if ((subset >> part) & 1) fill(damaged.subarray(from, from + grain), killed);
        }
        await opensWith(killed, damaged);
      }
      t.diagnostic(`${2 ** parts} subsets`);
    });
  }
}

test('log B4: bytes of a segment that was truncated are never read as live', async () => {
  const made = await TestLog.make();
  await made.write(10, 20);
  await made.write(30);
  await made.write(40);
  const old = (await readDisk(made.fs, DATA_DIR)).get((await made.segments())[0]!)!;
  await made.log.truncateAfter(toIndex(2));
  await made.write(50);
  const tail = (await made.segments()).at(-1)!;
  const disk = await readDisk(made.fs, DATA_DIR);
  // A recycled file: behind the live batch stand the batches of the old segment, at their old places.
  const recycled = Uint8Array.from(disk.get(tail)!);
  recycled.set(old.subarray(8192), 8192);
  const fs = await diskFrom(new Map(disk).set(tail, recycled));
  const opened = new TestLog({ fs, status: { ...made.status } });
  await opened.open();
  opened.checkReplayed(3);
  ok(opened.log.report.bytesDiscarded > 0);
});

test('log B4: a batch of this segment that stands behind its end again is not read again', async () => {
  const killed = await killedAfter(...SMALL);
  const doubled = Uint8Array.from(killed.bytes);
  doubled.copyWithin(killed.end, killed.start, killed.end);
  await opensWith(killed, doubled);
  const swapped = Uint8Array.from(killed.bytes);
  swapped.copyWithin(killed.end, 4096, killed.end);
  await opensWith(killed, swapped);
});

/** A batch whose one entry holds bytes that look like records. */
async function killedWithBody(makeBody: (tail: Uint8Array, end: number) => Uint8Array): Promise<Killed> {
  const killed = await killedAfter(10);
  const { made } = killed;
  const index = made.log.append(toTerm(0), made.clock.now() + 1000, makeBody(killed.bytes, killed.end));
  await made.flush();
  strictEqual((await made.segments()).at(-1), killed.tail, 'it is in the same segment');
  const disk = await readDisk(made.fs, DATA_DIR);
  const records: LogRecord[] = [];
  for await (const record of made.log.read(index)) records.push(record);
  const batch = [{ ...records[0]!, body: Uint8Array.from(records[0]!.body) }];
  const bytes = disk.get(killed.tail)!;
  return { made, disk, tail: killed.tail, bytes, batch, start: batch[0]!.offset, end: batch[0]!.endOffset };
}

for (const { name, bodyFrom } of [
  { name: 'this', bodyFrom: (tail: Uint8Array) => tail },
  { name: 'no', bodyFrom: (tail: Uint8Array) => tail.map((byte) => byte ^ 1) },
]) {
  test(`log B4: a value full of records of ${name} segment is a value, torn or whole`, async () => {
    // The last two batches, at offsets that a search looks at.
    const killed = await killedWithBody((tail, end) => bodyFrom(tail.subarray(end - 8192, end)));
    await readsBack(killed);
    for (let at = killed.start; at < killed.end; at += 512) {
      const damaged = Uint8Array.from(killed.bytes).fill(0, at, at + 512);
      if (survivors(killed, damaged) === killed.batch[0]!.index) continue; // Padding, zero before.
      await opensAt(killed, damaged, killed.batch[0]!.index - 1);
      await opensAt(
        killed,
        Uint8Array.from(killed.bytes).fill(0, killed.start, at + 512),
        killed.batch[0]!.index - 1,
      );
    }
  });
}

async function readsBack({ made, batch }: Killed): Promise<void> {
  for await (const record of made.log.read(batch[0]!.index)) {
    deepStrictEqual(Buffer.from(record.body), Buffer.from((batch[0] as LogRecord).body));
  }
}

async function opensAt(killed: Killed, damaged: Uint8Array, last: number): Promise<void> {
  const made = new TestLog({
    fs: await diskFrom(withTail(killed, damaged)),
    status: { ...killed.made.status },
  });
  await made.open();
  strictEqual(made.log.lastIndex, last);
  await made.check();
}

test('log B4: a value that forges records of its own segment is never read as records', async () => {
  let forgedAt = 0;
  const killed = await killedWithBody((tail, end) => {
    const decoded = decodeSegmentHeader(tail.subarray(0, 4096));
    if (decoded.kind !== 'header') throw new Error('the tail has a header');
    // It will stand on the block behind the start of the batch that carries it.
    const body = new Uint8Array(2 * 4096);
    const at = 4096 - RECORD_HEADER_BYTES;
    forgedAt = end + 4096;
    const inner = bodyOf(99, 100);
    body.set(inner, at + RECORD_HEADER_BYTES);
    const fields = {
      timeline: toTimeline(1),
      index: toIndex(7),
      term: toTerm(9),
      time: 2 ** 50,
      previous: 1,
    };
    const seed = segmentSeed(decoded.header);
    encodeHeader(body, at, { ...fields, type: 'commands', syncedTo: forgedAt, isBatchEnd: true }, 100, seed);
    return body;
  });
  strictEqual(killed.start + 4096, forgedAt);
  await readsBack(killed);
  const whole = new TestLog({ fs: await diskFrom(killed.disk), status: { ...killed.made.status } });
  await whole.open();
  strictEqual(whole.log.lastIndex, killed.batch[0]!.index);
  // Torn, the forgery claims that the batch was durable: then the log stops, and changes nothing.
  const fs = await diskFrom(
    withTail(killed, Uint8Array.from(killed.bytes).fill(0, killed.start, killed.start + 512)),
  );
  const before = await readDisk(fs, DATA_DIR);
  const torn = new TestLog({ fs, status: { ...killed.made.status } });
  await rejects(torn.open(), (error) => isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED'));
  await assertUnchanged(fs, DATA_DIR, before);
});

test('log B1: torn bytes are kept in the quarantine with a note', async () => {
  const killed = await killedAfter(...LARGE);
  const damaged = Uint8Array.from(killed.bytes).fill(0, killed.start, killed.start + 512);
  const fs = await diskFrom(withTail(killed, damaged));
  const made = new TestLog({ fs, status: { ...killed.made.status } });
  await made.open();
  const disk = await readDisk(fs, `${DATA_DIR}/quarantine`);
  const name = `${killed.tail.slice(killed.tail.lastIndexOf('/') + 1)}-${killed.start}.torn`;
  const kept = disk.get(`${DATA_DIR}/quarantine/${name}`)!;
  deepStrictEqual(Buffer.from(kept), Buffer.from(damaged.subarray(killed.start, killed.start + kept.length)));
  strictEqual(made.log.report.bytesDiscarded, kept.length);
  const note = JSON.parse(
    Buffer.from(disk.get(`${DATA_DIR}/quarantine/${name}.note.json`)!).toString(),
  ) as object;
  deepStrictEqual(note, {
    from: killed.tail,
    offset: killed.start,
    reason: 'torn write: zeros where a record must be',
  });
});

test('log B2: garbage in the unused space of the tail, up to its last byte, changes nothing', async () => {
  const killed = await killedAfter(...SMALL);
  for (const at of [killed.end, killed.end + 5, 60_000, SEGMENT_BYTES - 1]) {
    const damaged = Uint8Array.from(killed.bytes);
    damaged[at] = 1;
    await opensWith(killed, damaged, killed.batch.at(-1)!.index);
  }
  await put(killed.made.fs, killed.tail, killed.bytes);
});

test('log B5: a torn write right behind what is proven is never written over', async () => {
  const made = await TestLog.make();
  await made.write(10, 20);
  await made.restart(); // Everything is proven, and the tail is clean.
  await made.write(9000);
  const disk = await readDisk(made.fs, DATA_DIR);
  const tail = (await made.segments()).at(-1)!;
  const torn = Uint8Array.from(disk.get(tail)!).fill(0, 8192, 8704);
  const fs = await diskFrom(new Map(disk).set(tail, torn));
  const opened = new TestLog({ fs, status: { ...made.status } });
  await opened.open();
  opened.checkReplayed(2);
  ok(opened.log.report.bytesDiscarded > 0);
  await opened.write(30);
  const newest = (await readDisk(fs, DATA_DIR)).get((await opened.segments()).at(-1)!)!;
  ok(
    newest.subarray(8192).every((byte) => byte === 0),
    'nothing stands behind the new batch',
  );
  await opened.restart();
  opened.checkReplayed(3);
});
