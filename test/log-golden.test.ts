/**
 * The bytes of the log, format v1, held fixed (test/fixtures/log-v1). What these files hold must be readable
 * for ever, and for as long as v1 is what we write, the same steps must give the same bytes.
 * `REWRITE=1` writes the fixture; a released one is never rewritten.
 */

import { deepStrictEqual, strictEqual } from 'node:assert';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { toIndex, toTerm } from '../src/base/positions.ts';
import { type DiskBytes, diskFrom, readDisk } from './support/disk-bytes.ts';
import { isRewriting, ROOT } from './support/project.ts';
import { verdictOf } from './support/refusal.ts';
import { DATA_DIR, LOG_DIR, type StatusFields, TestLog } from './support/test-log.ts';

const FIXTURE = `${ROOT}test/fixtures/log-v1`;

/** An entry of the fixture. The body is one byte, repeated. */
interface GoldenEntry {
  readonly term: number;
  readonly time: number;
  readonly byte: string;
  readonly length: number;
}

const T = 1_700_000_000_000;

const FIRST: readonly GoldenEntry[] = [
  { term: 0, time: T, byte: 'a', length: 3 },
  { term: 0, time: T, byte: 'b', length: 0 },
  { term: 1, time: T + 1, byte: 'c', length: 5000 },
];
const TRUNCATED: GoldenEntry = { term: 1, time: T + 2, byte: 'd', length: 100 };
const SECOND: readonly GoldenEntry[] = [
  { term: 2, time: T + 2, byte: 'e', length: 70 },
  { term: 2, time: T + 60_000, byte: 'f', length: 45_000 },
];
const THIRD: GoldenEntry = { term: 3, time: T + 60_000, byte: 'g', length: 9000 };
const ENTRIES = [...FIRST, ...SECOND, THIRD];

/** Every kind of change there is: a batch, a mark, a truncation, a recovery, a rotation, a clean close. */
async function writeGoldenLog(): Promise<TestLog> {
  const made = await TestLog.make({ seed: 1 });
  const append = ({ term, time, byte, length }: GoldenEntry): void => {
    made.log.append(toTerm(term), time, Buffer.alloc(length, byte));
  };
  append(FIRST[0]!);
  await made.flush();
  for (const entry of FIRST.slice(1)) append(entry);
  append(TRUNCATED);
  await made.flush();
  await made.idle();
  await made.log.truncateAfter(toIndex(3));
  append(SECOND[0]!);
  await made.flush();
  await made.restart();
  append(SECOND[1]!);
  await made.flush();
  append(THIRD);
  await made.flush();
  await made.log.compactTo(toIndex(1)); // Inside the first segment: nothing goes.
  await made.log.close();
  return made;
}

/** The files that count, without the zeros at their ends. */
function essence(disk: DiskBytes): Map<string, string> {
  const files = new Map<string, string>();
  for (const [path, bytes] of disk) {
    if (bytes === null || !/\.(log|idx)$/.test(path)) continue;
    const end = path.endsWith('.log') ? bytes.findLastIndex((byte) => byte !== 0) + 1 : bytes.length;
    files.set(path.slice(LOG_DIR.length + 1), Buffer.from(bytes.subarray(0, end)).toString('latin1'));
  }
  return files;
}

function readFixture(): { disk: DiskBytes; status: StatusFields } {
  const disk = new Map<string, Uint8Array | null>([
    [DATA_DIR, null],
    [LOG_DIR, null],
  ]);
  for (const name of readdirSync(FIXTURE).filter((file) => /\.(log|idx)$/.test(file))) {
    disk.set(`${LOG_DIR}/${name}`, new Uint8Array(readFileSync(`${FIXTURE}/${name}`)));
  }
  const status = JSON.parse(readFileSync(`${FIXTURE}/status.json`, 'utf8')) as StatusFields;
  return { disk, status };
}

test('log golden: the same steps give the same bytes (format v1)', async () => {
  const made = await writeGoldenLog();
  const files = essence(await readDisk(made.fs, DATA_DIR));
  if (isRewriting) {
    mkdirSync(FIXTURE, { recursive: true });
    for (const [name, bytes] of files) writeFileSync(`${FIXTURE}/${name}`, bytes, 'latin1');
    writeFileSync(`${FIXTURE}/status.json`, `${JSON.stringify(made.status)}\n`);
  }
  const { disk, status } = readFixture();
  deepStrictEqual(made.status, status);
  const golden = essence(disk);
  deepStrictEqual([...files.keys()], [...golden.keys()]);
  for (const [name, bytes] of files) strictEqual(bytes === golden.get(name), true, `${name} is as it was`);
});

test('log golden: a log of format v1 opens, with every entry as it was written', async () => {
  const { disk, status } = readFixture();
  strictEqual((await verdictOf(disk, status)).verdict, 'whole');
  const made = new TestLog({ fs: await diskFrom(disk), status: { ...status } });
  await made.open();
  deepStrictEqual(made.log.report.warnings, []);
  deepStrictEqual([made.log.firstIndex, made.log.lastIndex], [2, ENTRIES.length]);
  const found: GoldenEntry[] = [];
  for await (const { term, time, body, length } of made.log.read(toIndex(2))) {
    const byte = length === 0 ? 'b' : String.fromCharCode(body[0]!);
    deepStrictEqual(Buffer.from(body), Buffer.alloc(length, byte));
    found.push({ term, time, byte, length });
  }
  deepStrictEqual(found, ENTRIES.slice(1));
  made.log.append(toTerm(3), T + 60_001, Buffer.from('it goes on'));
  await made.flush();
  strictEqual(made.log.durableIndex, ENTRIES.length + 1);
});
