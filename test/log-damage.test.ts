/**
 * Damage inside the log (checklist C1, C2, C8 to C11, F6): never taken for a torn write, never handed out.
 * The log stops, says what is lost, and changes nothing; `verify` says the same.
 */

import { ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { viewOf } from '../src/base/bytes.ts';
import { crc32c } from '../src/base/crc32c.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { type Index, toIndex, toTerm, toTimeline } from '../src/base/positions.ts';
import { BODY_BYTES_MAX, encodeHeader, RECORD_HEADER_BYTES, type RecordFields } from '../src/log/record.ts';
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentSeed,
} from '../src/log/segment.ts';
import { type LogRecord, SegmentReader } from '../src/log/segment-reader.ts';
import { type DiskBytes, damage, diskFrom, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem } from './support/interposed-file-system.ts';
import { refused, refusedAsDamage, refusedOn, verdictOf } from './support/refusal.ts';
import { bodyOf, DATA_DIR, SEGMENT_BYTES, type StatusFields, TestLog } from './support/test-log.ts';

interface Place {
  readonly path: string;
  readonly record: Omit<LogRecord, 'body'>;
}

interface Fixture {
  readonly disk: DiskBytes;
  readonly status: StatusFields;
  readonly places: readonly Place[];
  /** Entries of the last batch, which nothing proves. */
  readonly lastBatch: readonly Index[];
}

/** Two sealed segments and a tail of four batches; the last is not proven. */
async function makeFixture(): Promise<Fixture> {
  const made = await TestLog.make();
  await made.write(20, 3000, 5);
  await made.write(50_000);
  await made.write(40_000, 10);
  await made.write(12_000);
  await made.write(30_000);
  await made.write(10);
  await made.write(100, 9000, 30);
  await made.write(50, 60);
  const disk = await readDisk(made.fs, DATA_DIR);
  return { disk, status: made.status, places: await placesOf(disk), lastBatch: [toIndex(13), toIndex(14)] };
}

async function placesOf(disk: DiskBytes): Promise<Place[]> {
  const places: Place[] = [];
  const fs = await diskFrom(disk);
  for (const [path, bytes] of disk) {
    if (!path.endsWith('.log') || bytes === null) continue;
    const reader = new SegmentReader(await fs.open(path, 'read'), headerOf(bytes), bytes.length);
    for (let step = await reader.next(); step.kind === 'record'; step = await reader.next()) {
      const { body: _body, ...record } = step.record;
      places.push({ path, record });
    }
  }
  return places;
}

function headerOf(bytes: Uint8Array): SegmentHeader {
  const decoded = decodeSegmentHeader(bytes.subarray(0, SEGMENT_HEADER_BYTES));
  if (decoded.kind !== 'header') throw new Error('the segment has a header');
  return decoded.header;
}

function changed(disk: DiskBytes, path: string, change: (bytes: Uint8Array) => void): DiskBytes {
  const bytes = Uint8Array.from(disk.get(path)!);
  change(bytes);
  return new Map(disk).set(path, bytes);
}

type Damage = (bytes: Uint8Array, record: Omit<LogRecord, 'body'>) => void;

/** Ways to spoil one record. All of them also hit a record of five bytes. */
const DAMAGES: Readonly<Record<string, Damage>> = {
  'a flipped bit of the magic': (bytes, { offset }) => void (bytes[offset]! ^= 4),
  'a flipped bit of the type (C9)': (bytes, { offset }) => void (bytes[offset + 4]! ^= 3),
  'a flipped bit of the flags': (bytes, { offset }) => void (bytes[offset + 5]! ^= 1),
  'a flipped bit of the index': (bytes, { offset }) => void (bytes[offset + 16]! ^= 1),
  'a flipped bit of its header checksum': (bytes, { offset }) => void (bytes[offset + 52]! ^= 128),
  'a flipped bit of the body': (bytes, { offset }) => void (bytes[offset + RECORD_HEADER_BYTES]! ^= 1),
  'a zero header': (bytes, { offset }) => void bytes.fill(0, offset, offset + RECORD_HEADER_BYTES),
  'a zero sector': (bytes, { offset }) => void bytes.fill(0, offset, offset + 512),
  'all of it zero': (bytes, { offset, endOffset }) => void bytes.fill(0, offset, endOffset),
  'all of it ones': (bytes, { offset, endOffset }) => void bytes.fill(255, offset, endOffset),
  'a zero length field (C8)': (bytes, { offset }) => void bytes.fill(0, offset + 8, offset + 12),
  'a length field of 2^32-1 (C8)': (bytes, { offset }) => void bytes.fill(255, offset + 8, offset + 12),
  'zeros to the end of its segment but for the last block': (bytes, { offset }) => {
    const end = bytes.length === SEGMENT_BYTES ? lastBlock(bytes) : bytes.length - 4096;
    if (end > offset) bytes.fill(0, offset, end);
    else bytes[offset]! ^= 1;
  },
};

/** Where the last block with anything in it starts. */
function lastBlock(bytes: Uint8Array): number {
  return Math.floor((bytes.findLastIndex((byte) => byte !== 0) + 1) / 4096) * 4096;
}

for (const [name, spoil] of Object.entries(DAMAGES)) {
  test(`log C1, C2: ${name} in any proven record stops the log, and nothing is changed`, async () => {
    const { disk, status, places, lastBatch } = await makeFixture();
    strictEqual(places.length, 14);
    for (const { path, record } of places.filter(({ record }) => !lastBatch.includes(record.index))) {
      const { index: firstLost, offset } = record;
      await refusedAsDamage(
        changed(disk, path, (bytes) => spoil(bytes, record)),
        status,
        {
          file: path,
          offset,
          firstLost,
        },
      );
    }
  });
}

test('log C1: damage of the last batch is damage as soon as a mark proves it', async () => {
  const made = await TestLog.make();
  await made.write(20, 30);
  await made.write(100, 9000, 30);
  await made.idle();
  const disk = await readDisk(made.fs, DATA_DIR);
  const places = await placesOf(disk);
  strictEqual(places.length, 6);
  for (const spoil of Object.values(DAMAGES)) {
    for (const { path, record } of places.filter((place) => place.record.type === 'commands')) {
      const facts = { file: path, offset: record.offset, firstLost: record.index };
      await refusedAsDamage(
        changed(disk, path, (bytes) => spoil(bytes, record)),
        made.status,
        facts,
      );
    }
    // The mark itself holds nothing: without it, the log opens as it is.
    const { path, record } = places[5]!;
    const fs = await diskFrom(changed(disk, path, (bytes) => spoil(bytes, record)));
    const opened = new TestLog({ fs, status: { ...made.status } });
    await opened.open();
    opened.checkReplayed(5);
  }
});

test('log C1: damage in what recovery rewrote is damage, for its name proves it', async () => {
  const made = await TestLog.make();
  await made.write(20, 30);
  await made.write(40);
  await made.restart();
  const disk = await readDisk(made.fs, DATA_DIR);
  const [, second] = await made.segments();
  strictEqual(headerOf(disk.get(second!)!).provenTo, 8192);
  const spoilt = changed(disk, second!, (bytes) => void bytes.fill(0, 4096, 8192));
  await refusedAsDamage(spoilt, made.status, { file: second!, offset: 4096, firstLost: 3 });
  // Cut short, too.
  for (const length of [8191 - 4096 + 60, 5000, 4096]) {
    await refusedAsDamage(new Map(disk).set(second!, disk.get(second!)!.subarray(0, length)), made.status);
  }
});

test('log C2: the error names the file, the offset and the entries that are lost', async () => {
  const { disk, status, places } = await makeFixture();
  const sealed = places[1]!;
  const error = await refusedAsDamage(
    changed(disk, sealed.path, (bytes) => void (bytes[sealed.record.offset]! ^= 1)),
    status,
  );
  ok(
    error.message.includes(`${sealed.path} is damaged at offset ${sealed.record.offset} (magic)`),
    error.message,
  );
  ok(error.message.includes('entry 2, and up to 4, cannot be read'), error.message);
  const inTail = places.find(({ record }) => record.index === 9)!;
  const other = await refusedAsDamage(
    changed(disk, inTail.path, (bytes) => void (bytes[inTail.record.offset + 60]! ^= 1)),
    status,
  );
  ok(other.message.includes(`offset ${inTail.record.offset} (body)`), other.message);
  ok(other.message.includes('entry 9 cannot be read'), other.message);
});

for (const { name, length } of [
  { name: '0', length: 0 },
  { name: 'one less', length: -1 },
  { name: 'one more', length: -2 },
  { name: 'up to the end of the file', length: SEGMENT_BYTES },
  { name: 'past the end of the file', length: SEGMENT_BYTES * 3 },
  { name: 'the bound', length: BODY_BYTES_MAX },
  { name: 'above the bound', length: BODY_BYTES_MAX + 1 },
  { name: '2^31', length: 2 ** 31 },
  { name: '2^32-1', length: 2 ** 32 - 1 },
]) {
  test(`log C8: a length of ${name}, in a header whose checksum holds, costs no memory`, async () => {
    const { disk, status, places, lastBatch } = await makeFixture();
    for (const { path, record } of places) {
      const wrong = length >= 0 ? length : record.length + (length === -1 ? -1 : 1);
      const forged = changed(disk, path, (bytes) => {
        const seed = segmentSeed(headerOf(bytes));
        const view = viewOf(bytes);
        view.setUint32(record.offset + 8, wrong, true);
        const header = bytes.subarray(record.offset, record.offset + 52);
        view.setUint32(record.offset + 52, crc32c(header, seed), true);
      });
      const inner = await diskFrom(forged);
      const fs = new InterposedFileSystem(inner);
      if (lastBatch.includes(record.index)) {
        const opened = new TestLog({ fs, status: { ...status } });
        await opened.open();
        opened.checkReplayed(record.index - 1);
      } else {
        const error = await refusedOn(fs, inner, status);
        strictEqual(error.code, 'TIDEMARK_LOG_DAMAGED');
        strictEqual(error.facts['offset'], record.offset);
      }
      const largest = Math.max(...fs.calls.filter(({ op }) => op === 'read').map(({ bytes }) => bytes));
      ok(largest <= SEGMENT_BYTES, `a read of ${largest} bytes`);
    }
  });
}

/** The disk with the last record of the tail written again, with other fields. */
function forgeLast({ disk, places }: Fixture, fields: Partial<RecordFields>): DiskBytes {
  const { path, record } = places.at(-1)!;
  return changed(disk, path, (bytes) => {
    const seed = segmentSeed(headerOf(bytes));
    encodeHeader(bytes, record.offset, { ...record, ...fields }, record.length, seed);
  });
}

for (const { name, fields } of [
  { name: 'an index that is there already', fields: { index: toIndex(13) } },
  { name: 'an index that is skipped', fields: { index: toIndex(15) } },
  { name: 'index 0', fields: { index: toIndex(0) } },
  { name: 'an index far back', fields: { index: toIndex(3) } },
  { name: 'a time that falls', fields: { time: 1_600_000_000_000 } },
  { name: 'another timeline', fields: { timeline: toTimeline(2) } },
  { name: 'a proof of bytes that come after it', fields: { syncedTo: SEGMENT_BYTES - 4096 } },
  { name: 'a mark with an index of its own', fields: { type: 'mark' as const } },
]) {
  test(`log C10: ${name}, in an intact record that follows, stops the log`, async () => {
    const fixture = await makeFixture();
    const { path, record } = fixture.places.at(-1)!;
    const facts = { file: path, offset: record.offset, reason: 'order' };
    await refusedAsDamage(forgeLast(fixture, fields), fixture.status, facts);
  });
}

test('log C10: a term that falls stops the log', async () => {
  const made = await TestLog.make();
  made.log.append(toTerm(5), 2_000_000_000_000, bodyOf(1, 20));
  await made.flush();
  made.log.append(toTerm(6), 2_000_000_000_000, bodyOf(2, 20));
  await made.flush();
  const disk = await readDisk(made.fs, DATA_DIR);
  const fixture = { disk, status: made.status, places: await placesOf(disk), lastBatch: [] };
  strictEqual((await verdictOf(forgeLast(fixture, { term: toTerm(5) }), made.status)).verdict, 'whole');
  await refusedAsDamage(forgeLast(fixture, { term: toTerm(4) }), made.status, { reason: 'order' });
});

for (const { name, fields } of [
  {
    name: 'a first index that skips one',
    fields: (header: SegmentHeader) => ({ firstIndex: header.firstIndex + 1 }),
  },
  {
    name: 'a first index that repeats one',
    fields: (header: SegmentHeader) => ({ firstIndex: header.firstIndex - 1 }),
  },
  {
    name: 'another checksum before it',
    fields: (header: SegmentHeader) => ({ previousCrc: header.previousCrc ^ 1 }),
  },
  { name: 'another term before it', fields: () => ({ previousTerm: 1 }) },
  {
    name: 'another time before it',
    fields: (header: SegmentHeader) => ({ previousTime: header.previousTime - 1 }),
  },
  {
    name: 'an earlier end before it',
    fields: (header: SegmentHeader) => ({ previousEnd: header.previousEnd - 4096 }),
  },
  {
    name: 'a later end before it',
    fields: (header: SegmentHeader) => ({ previousEnd: header.previousEnd + 4096 }),
  },
]) {
  test(`log C10: a segment with ${name} does not follow: the log stops`, async () => {
    const { disk, status } = await makeFixture();
    const paths = [...disk.keys()].filter((path) => path.endsWith('.log'));
    for (const path of paths.slice(1)) {
      const forged = changed(disk, path, (bytes) => {
        const header = headerOf(bytes);
        const other = { ...header, ...fields(header) } as SegmentHeader;
        bytes.set(encodeSegmentHeader(other).subarray(0, 128));
      });
      // A file whose name does not fit its header is not read as a segment.
      await refusedAsDamage(forged, status);
      if (!name.includes('first index')) continue;
      const renamed = new Map(forged);
      renamed.delete(path);
      const { firstIndex } = headerOf(forged.get(path)!);
      await refusedAsDamage(
        renamed.set(path.replace(/\d{20}/, String(firstIndex).padStart(20, '0')), forged.get(path)!),
        status,
      );
    }
  });
}

test('log C11: damage that comes after the opening is noticed by every read', async () => {
  for (const spoil of Object.values(DAMAGES)) {
    const { disk, status, places } = await makeFixture();
    for (const { path, record } of places) {
      const fs = await diskFrom(disk);
      const made = new TestLog({ fs, status: { ...status } });
      await made.open();
      // Opening has rewritten the last batch: it stands in a segment of its own.
      const where = (await placesOf(await readDisk(fs, DATA_DIR))).find(
        (place) => place.record.index === record.index,
      )!;
      await damage(fs, where.path, (bytes) => spoil(bytes, where.record));
      for (const first of [1, Math.max(1, record.index - 1), record.index]) {
        const found: number[] = [];
        const reading = async (): Promise<void> => {
          for await (const { index, length, body } of made.log.read(toIndex(first))) {
            ok(Buffer.compare(body, bodyOf(index, length)) === 0, `entry ${index} is as it was`);
            found.push(index);
          }
        };
        await rejects(reading, (error) => {
          ok(isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED'), String(error));
          strictEqual(error.facts['file'], where.path);
          strictEqual(error.facts['firstLost'], record.index, `${error.message} ${path}`);
          return true;
        });
        strictEqual(found.length, record.index - first);
      }
    }
  }
});

test('log F6: a read that stops inside a file is not a torn write: the log stops, unchanged', async () => {
  const { disk, status } = await makeFixture();
  const inner = await diskFrom(disk);
  const counting = new InterposedFileSystem(inner);
  await new TestLog({ fs: counting, status: { ...status } }).open();
  const reads = counting.calls.filter(({ op, path }) => op === 'read' && path.endsWith('.log')).length;
  ok(reads >= 7);
  for (let number = 1; number <= reads; number++) {
    for (const share of [0, 0.3, 0.999]) {
      const untouched = await diskFrom(disk);
      const fs = new InterposedFileSystem(untouched);
      let count = 0;
      fs.readable = (call, bytes) => {
        if (!call.path.endsWith('.log') || ++count !== number) return bytes;
        return Math.floor(bytes * share);
      };
      const error = await refusedOn(fs, untouched, status);
      ok(
        ['TIDEMARK_IO', 'TIDEMARK_LOG_DAMAGED'].includes(error.code),
        `${number}, ${share}: ${error.message}`,
      );
    }
  }
});

test('log F6: a short read does not hide the proof that stands behind a damaged record', async () => {
  const made = await TestLog.make();
  for (let at = 0; at < 6; at++) await made.write(100);
  const disk = await readDisk(made.fs, DATA_DIR);
  const [path] = await made.segments();
  const spoilt = changed(disk, path!, (bytes) => void (bytes[8192]! ^= 1));
  const inner = await diskFrom(spoilt);
  const fs = new InterposedFileSystem(inner);
  fs.readable = (call, bytes) => (call.offset === 8192 ? Math.min(bytes, 100) : bytes);
  const error = await refusedOn(fs, inner, made.status);
  ok(['TIDEMARK_IO', 'TIDEMARK_LOG_DAMAGED'].includes(error.code), error.message);
});

test('log C1: a healthy log is not refused', async () => {
  const { disk, status } = await makeFixture();
  const { verdict, findings } = await verdictOf(disk, status);
  strictEqual(verdict, 'whole', JSON.stringify(findings));
  await rejects(refused(disk, status), /it was opened/);
});
