/**
 * The files of the log (checklist D1 to D7, E5, E6): missing, doubled, foreign, unknown, empty ones. What the
 * log needs and lacks stops it before anything is changed; what it does not need is moved aside, or left.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { viewOf } from '../src/base/bytes.ts';
import { crc32c } from '../src/base/crc32c.ts';
import { toIndex, toTimeline } from '../src/base/positions.ts';
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from '../src/log/segment.ts';
import { assertUnchanged, type DiskBytes, diskFrom, put, readDisk, readFile } from './support/disk-bytes.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';
import { refused, refusedAsDamage, verdictOf } from './support/refusal.ts';
import { DATA_DIR, LOG_DIR, SEGMENT_BYTES, type StatusFields, TestLog } from './support/test-log.ts';

interface Fixture {
  readonly disk: DiskBytes;
  readonly status: StatusFields;
  /** Oldest first. */
  readonly segments: readonly string[];
  readonly last: number;
}

/** Three sealed segments and a tail, cleanly closed. */
async function makeFixture(): Promise<Fixture> {
  const made = await TestLog.make();
  for (let at = 0; at < 4; at++) await made.write(100, 45_000, 20);
  await made.log.close();
  const segments = await made.segments();
  strictEqual(segments.length, 4);
  return { disk: await readDisk(made.fs, DATA_DIR), status: made.status, segments, last: 12 };
}

function without(disk: DiskBytes, ...paths: readonly string[]): DiskBytes {
  return new Map([...disk].filter(([path]) => !paths.includes(path)));
}

function reheaded(bytes: Uint8Array, fields: Partial<SegmentHeader>): Uint8Array {
  const decoded = decodeSegmentHeader(bytes.subarray(0, SEGMENT_HEADER_BYTES));
  if (decoded.kind !== 'header') throw new Error('the segment has a header');
  const changed = Uint8Array.from(bytes);
  changed.set(encodeSegmentHeader({ ...decoded.header, ...fields }));
  return changed;
}

/** Opens a copy of the disk; all entries are there, and the log goes on. */
async function opens(disk: DiskBytes, status: StatusFields, last: number): Promise<TestLog> {
  const made = new TestLog({ fs: await diskFrom(disk), status: { ...status } });
  await made.open();
  made.checkReplayed(last);
  await made.write(30);
  await made.check();
  await made.log.close();
  return made;
}

test('log D1: a missing segment stops the log, and the error names its entries', async () => {
  const { disk, status, segments } = await makeFixture();
  const firsts = segments.map((path) => Number(/-(\d+)/.exec(path)![1]));
  for (const [at, path] of segments.slice(0, 3).entries()) {
    // The chain is followed from the tail: everything before the gap is out of reach.
    await refusedAsDamage(without(disk, path), status, { firstLost: 1, lastLost: firsts[at + 1]! - 1 });
    await refusedAsDamage(without(disk, ...segments.slice(0, at + 1)), status);
  }
});

test('log D1: a segment in the middle that cannot be read is named', async () => {
  const { disk, status, segments } = await makeFixture();
  for (const path of segments.slice(0, 3)) {
    for (const bytes of [
      new Uint8Array(0),
      new Uint8Array(SEGMENT_BYTES),
      disk.get(path)!.subarray(0, 4095),
    ]) {
      const error = await refusedAsDamage(new Map(disk).set(path, bytes), status, { file: path });
      ok(error.message.includes(`${path} cannot be read`), error.message);
    }
  }
});

test('log D2: a missing tail stops the log, for the status names it', async () => {
  const { disk, status, segments } = await makeFixture();
  await refusedAsDamage(without(disk, segments[3]!), status, { segmentSequence: status.segmentSequence });
  await refusedAsDamage(without(disk, segments[2]!, segments[3]!), status);
  await refusedAsDamage(without(disk, ...segments), status);
  const directories = new Map([...disk].filter(([, bytes]) => bytes === null));
  await refusedAsDamage(directories, status);
});

for (const { name, bytes } of [
  { name: 'empty', bytes: () => new Uint8Array(0) },
  { name: 'all zero', bytes: (tail: Uint8Array) => new Uint8Array(tail.length) },
  { name: 'cut inside its header', bytes: (tail: Uint8Array) => tail.subarray(0, 4095) },
  { name: 'with a damaged header', bytes: (tail: Uint8Array) => Uint8Array.from(tail).fill(1, 30, 31) },
  { name: 'random', bytes: (tail: Uint8Array) => tail.map((byte, at) => byte ^ (at % 251)) },
]) {
  test(`log D2: a tail that is ${name} stops the log`, async () => {
    const { disk, status, segments } = await makeFixture();
    const tail = segments[3]!;
    await refusedAsDamage(new Map(disk).set(tail, bytes(disk.get(tail)!)), status, { file: tail });
  });
}

test('log D2: a missing only segment, and a missing newest one right after a rotation', async () => {
  const made = await TestLog.make();
  const [only] = await made.segments();
  await refusedAsDamage(without(await readDisk(made.fs, DATA_DIR), only!), made.status);
  await made.write(50_000);
  await made.write(20_000);
  await made.restart(); // Begins a third segment that holds the last batch.
  const segments = await made.segments();
  const disk = await readDisk(made.fs, DATA_DIR);
  for (const path of segments) await refusedAsDamage(without(disk, path), made.status);
});

test('log D2: a tail cut short inside what is proven stops the log', async () => {
  const { disk, status, segments } = await makeFixture();
  const tail = segments[3]!;
  const bytes = disk.get(tail)!;
  // The mark proves all before it, and is itself nothing that anybody was promised.
  const mark = Math.floor(bytes.findLastIndex((byte) => byte !== 0) / 4096) * 4096;
  const used = bytes.subarray(0, mark).findLastIndex((byte) => byte !== 0) + 1;
  const commitIndex = toIndex(12);
  for (let length = SEGMENT_HEADER_BYTES; length < used; length += 1000) {
    await refusedAsDamage(new Map(disk).set(tail, bytes.subarray(0, length)), { ...status, commitIndex });
  }
});

test('log D3: what a truncation left over is removed, and is never read', async () => {
  const made = await TestLog.make();
  for (let at = 0; at < 4; at++) await made.write(100, 45_000, 20);
  const before = await readDisk(made.fs, DATA_DIR);
  await made.log.truncateAfter(toIndex(4));
  await made.write(33);
  await made.log.close();
  const after = await readDisk(made.fs, DATA_DIR);
  const leftovers = [...before.keys()].filter((path) => path.endsWith('.log') && !after.has(path));
  ok(leftovers.length >= 2);
  const mixed = new Map([...before, ...after]);
  const { verdict } = await verdictOf(mixed, made.status);
  strictEqual(verdict, 'whole');
  const opened = await opens(mixed, made.status, 5);
  for (const path of leftovers) strictEqual(await opened.fs.stat(path), null, path);
});

test('log D3: what a compaction left over is removed, each with its sparse index', async () => {
  const { disk, status, segments } = await makeFixture();
  const made = new TestLog({ fs: await diskFrom(disk), status: { ...status } });
  await made.open();
  await made.log.compactTo(toIndex(9));
  await made.log.close();
  const mixed = new Map([...disk, ...(await readDisk(made.fs, DATA_DIR))]);
  const again = new TestLog({ fs: await diskFrom(mixed), status: { ...made.status } });
  await again.open();
  deepStrictEqual(again.replayed, ['entry 10', 'entry 11', 'entry 12']);
  const kept = new Set(await again.names(/\.log$/));
  ok(!kept.has(segments[0]!.slice(LOG_DIR.length + 1)));
  const orphans = (await again.names(/\.idx$/)).filter((name) => !kept.has(name.replace('.idx', '.log')));
  deepStrictEqual(orphans, []);
});

test('log D3: of two segments with one first index, the one in the chain decides', async () => {
  const { disk, status, segments, last } = await makeFixture();
  const [, second] = segments;
  const timeline = toTimeline(2);
  const twin = second!.replace('/1-', '/2-');
  const twinBytes = reheaded(disk.get(second!)!, { timeline, id: 'ffffffffffffffff', sequence: 1 });
  const opened = await opens(new Map(disk).set(twin, twinBytes), status, last);
  strictEqual(await opened.fs.stat(twin), null);
  // With the highest sequence it says that the log went on from there; the status knows better.
  const usurper = reheaded(disk.get(second!)!, { timeline, id: 'ffffffffffffffff', sequence: 99 });
  await refusedAsDamage(new Map(disk).set(twin, usurper), { ...status, commitIndex: toIndex(last) });
});

for (const { name, fields } of [
  { name: 'another cluster', fields: { clusterId: 'ff'.repeat(16) } },
  { name: 'another node', fields: { nodeId: 2 } },
  { name: 'a later incarnation', fields: { incarnation: 2 } },
]) {
  test(`log D4: a segment of ${name} stops the log, whatever its name and place`, async () => {
    const { disk, status, segments } = await makeFixture();
    const stranger = `${LOG_DIR}/7-00000000000000000777.log`;
    for (const path of [...segments, stranger]) {
      const bytes = reheaded(disk.get(path) ?? disk.get(segments[0]!)!, fields);
      const spoilt = new Map(disk).set(path, bytes);
      const error = await refused(spoilt, status);
      deepStrictEqual([error.code, error.facts['file']], ['TIDEMARK_FOREIGN_FILE', path]);
      strictEqual((await verdictOf(spoilt, status)).verdict, 'refused', 'verify agrees');
    }
  });
}

test('log D4: a segment of another log of the same node is not taken into this one', async () => {
  const { disk, status, last } = await makeFixture();
  const other = await makeFixture();
  // As if restored from an older copy, or from a log that was made anew under the same identity.
  const name = `${LOG_DIR}/1-00000000000000000099.log`;
  const opened = await opens(new Map(disk).set(name, other.disk.get(other.segments[1]!)!), status, last);
  strictEqual(await opened.fs.stat(name), null);
  for (const [at, path] of other.segments.entries()) {
    const swapped = new Map(disk).set(path, other.disk.get(path)!);
    await refused(swapped, status).catch((error: unknown) => {
      throw new Error(`segment ${at} was exchanged`, { cause: error });
    });
  }
});

for (const { name, place } of [
  { name: 'a segment', place: (segments: readonly string[]) => segments[1]! },
  { name: 'the tail', place: (segments: readonly string[]) => segments[3]! },
  { name: 'a file that is not needed', place: () => `${LOG_DIR}/1-00000000000000000099.log` },
]) {
  test(`log: ${name} of a newer format is refused, and nothing is changed`, async () => {
    const { disk, status, segments } = await makeFixture();
    const path = place(segments);
    const bytes = Uint8Array.from(disk.get(path) ?? disk.get(segments[0]!)!);
    const view = viewOf(bytes);
    view.setUint16(8, 2, true);
    view.setUint32(124, crc32c(bytes.subarray(0, 124)), true);
    const error = await refused(new Map(disk).set(path, bytes), status);
    deepStrictEqual(
      [error.code, error.facts['file'], error.facts['version']],
      ['TIDEMARK_FORMAT_NEWER', path, 2],
    );
  });
}

test('log D5: files and directories of nobody are left alone, with a warning each', async () => {
  const { disk, status, last } = await makeFixture();
  const odd = new Map<string, Uint8Array | null>([
    ['notes.txt', Buffer.from('mine')],
    ['.hidden', new Uint8Array(0)],
    ['1-1.log', new Uint8Array(5000)],
    ['1-00000000000000000001.log~', Buffer.from('backup of an editor')],
    ['1-00000000000000000001.LOG', Buffer.from('another case')],
    ['spare-', new Uint8Array(7)],
    ['spare-x', new Uint8Array(SEGMENT_BYTES)],
    ['lost+found', null],
    ['1-00000000000000000777.log', null],
    ['1-00000000000000000778.idx', null],
    ['spare-77', null],
  ]);
  const mixed = new Map(disk);
  for (const [name, bytes] of odd) mixed.set(`${LOG_DIR}/${name}`, bytes);
  strictEqual((await verdictOf(mixed, status)).verdict, 'whole');
  const opened = await opens(mixed, status, last);
  for (const [name, bytes] of odd) {
    const path = `${LOG_DIR}/${name}`;
    strictEqual((await opened.fs.stat(path))?.kind, bytes === null ? 'directory' : 'file', name);
    if (bytes !== null) deepStrictEqual(await readFile(opened.fs, path), Uint8Array.from(bytes));
  }
  const again = new TestLog({ fs: opened.fs, status: opened.status });
  await again.open();
  deepStrictEqual(
    again.log.report.warnings,
    [...odd.keys()].toSorted().map((name) => `${LOG_DIR}/${name} is not a file of Tidemark's; left alone`),
  );
});

test('log D6: unreadable files beside a good log are moved to the quarantine, with a note each', async () => {
  const { disk, status, segments, last } = await makeFixture();
  const junk = new Map<string, Uint8Array>([
    ['1-00000000000000000050.log', new Uint8Array(0)],
    ['1-00000000000000000051.log', new Uint8Array(SEGMENT_BYTES)],
    ['1-00000000000000000052.log', Buffer.from('TIDEMLOG')],
    ['1-00000000000000000053.log', disk.get(segments[1]!)!],
    ['1-00000000000000000054.log', disk.get(segments[3]!)!],
    ['0-00000000000000000000.log', Uint8Array.from({ length: 5000 }, (_, at) => at)],
  ]);
  const mixed = new Map(disk);
  for (const [name, bytes] of junk) mixed.set(`${LOG_DIR}/${name}`, bytes);
  strictEqual((await verdictOf(mixed, status)).verdict, 'whole');
  const opened = await opens(mixed, status, last);
  for (const [name, bytes] of junk) {
    strictEqual(await opened.fs.stat(`${LOG_DIR}/${name}`), null);
    const kept = await readFile(opened.fs, `${DATA_DIR}/quarantine/${name}`);
    deepStrictEqual(Buffer.from(kept), Buffer.from(bytes));
    const noteBytes = await readFile(opened.fs, `${DATA_DIR}/quarantine/${name}.note.json`);
    const note = JSON.parse(Buffer.from(noteBytes).toString()) as { from: string; reason: string };
    strictEqual(note.from, `${LOG_DIR}/${name}`);
    ok(note.reason.length > 5);
  }
});

test('log D6: nothing in the quarantine is ever replaced', async () => {
  const { disk, status, last } = await makeFixture();
  const name = '1-00000000000000000050.log';
  const fs = await diskFrom(disk);
  for (let round = 0; round < 4; round++) {
    await put(fs, `${LOG_DIR}/${name}`, Buffer.from(`junk ${round}`));
    if (round === 2) await put(fs, `${DATA_DIR}/quarantine/${name}.2.note.json`, Buffer.from('a note alone'));
    const made = new TestLog({ fs, status: { ...status } });
    await made.open();
    strictEqual(made.log.lastIndex, last);
    status.segmentSequence = made.status.segmentSequence;
    await made.log.close();
  }
  const texts = [];
  for (const kept of ['', '.1', '.3', '.4']) {
    texts.push(Buffer.from(await readFile(fs, `${DATA_DIR}/quarantine/${name}${kept}`)).toString());
  }
  deepStrictEqual(texts, ['junk 0', 'junk 1', 'junk 2', 'junk 3']);
});

test('log D6: a full disk does not keep a log with an unreadable file from starting', async () => {
  const { disk, status, last } = await makeFixture();
  const junk = `${LOG_DIR}/1-00000000000000000050.log`;
  const inner = await diskFrom(new Map(disk).set(junk, new Uint8Array(10)));
  const fs = new InterposedFileSystem(inner);
  fs.onCall = (call) => {
    if (call.op === 'write' && call.path.includes('quarantine')) refuse(call, 'ENOSPC');
  };
  const made = new TestLog({ fs, status: { ...status } });
  await made.open();
  made.checkReplayed(last);
  strictEqual(made.log.report.warnings.filter((warning) => warning.startsWith(junk)).length, 1);
  deepStrictEqual(await readFile(inner, junk), new Uint8Array(10));
});

test('log E5: an older status with a newer log takes the newer log, and learns of it', async () => {
  const { disk, status, last } = await makeFixture();
  for (let segmentSequence = 0; segmentSequence <= status.segmentSequence; segmentSequence++) {
    const opened = await opens(disk, { ...status, segmentSequence }, last);
    ok(opened.status.segmentSequence > status.segmentSequence);
  }
  // The same where the tail needs no successor.
  const made = await TestLog.make();
  await made.write(10);
  await made.restart();
  const rewritten = await readDisk(made.fs, DATA_DIR);
  const stale = new TestLog({
    fs: await diskFrom(rewritten),
    status: { ...made.status, segmentSequence: 1 },
  });
  await stale.open();
  deepStrictEqual([stale.log.lastIndex, stale.status.segmentSequence], [1, 2]);
});

test('log E6: a commit index beyond the end of the log stops it', async () => {
  const { disk, status, segments, last } = await makeFixture();
  await opens(disk, { ...status, commitIndex: toIndex(last) }, last);
  const facts = { file: segments[3]!, firstLost: last + 1, lastLost: last + 3 };
  await refusedAsDamage(disk, { ...status, commitIndex: toIndex(last + 3) }, facts);
});

test('log E6: a first index beyond the end of the log stops it', async () => {
  const { disk, status, last } = await makeFixture();
  await refusedAsDamage(disk, { ...status, firstIndex: toIndex(last + 2) });
});

test('log D2, E6: an unfinished last batch is damage when it was committed', async () => {
  const made = await TestLog.make();
  await made.write(10);
  await made.write(20);
  const [path] = await made.segments();
  const disk = await readDisk(made.fs, DATA_DIR);
  const torn = new Map(disk).set(path!, Uint8Array.from(disk.get(path!)!).fill(0, 8192, 8200));
  await refusedAsDamage(torn, { ...made.status, commitIndex: toIndex(2) }, { firstLost: 2, lastLost: 2 });
  const opened = await opens(torn, { ...made.status, commitIndex: toIndex(1) }, 1);
  strictEqual(opened.log.lastIndex, 2);
});

test('log D7: a directory that cannot be read or written is one clear error', async () => {
  const { disk, status } = await makeFixture();
  const dirty = new Map(disk).set(`${LOG_DIR}/1-00000000000000000050.log`, new Uint8Array(10));
  for (const systemCode of ['EROFS', 'EACCES']) {
    for (const ops of [
      ['rename'],
      ['create'],
      ['open'],
      ['write', 'create', 'rename', 'remove', 'truncate'],
    ]) {
      const inner = await diskFrom(dirty);
      const fs = new InterposedFileSystem(inner);
      fs.onCall = (call) => {
        if (ops.includes(call.op)) refuse(call, systemCode);
      };
      const made = new TestLog({ fs, status: { ...status } });
      const error = await made.open().then(
        () => null,
        (thrown: Error & { code?: string }) => thrown,
      );
      strictEqual(error?.code, 'TIDEMARK_NOT_WRITABLE', `${systemCode} ${ops.join()}: ${error?.message}`);
      deepStrictEqual(fs.handles, []);
      if (ops.includes('create') || ops.includes('open')) {
        const after = without(await readDisk(inner, DATA_DIR), `${DATA_DIR}/quarantine`);
        await assertUnchanged(await diskFrom(after), DATA_DIR, dirty);
      }
    }
  }
});
