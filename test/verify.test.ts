/**
 * `tidemark verify` (src/cli/verify.ts, src/log/read-log.ts): exit codes that scripts can rely on, every
 * damage with its place, and not a byte changed. That it agrees with recovery: log-damage, log-files,
 * damage-fuzz.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readLog } from '../src/log/read-log.ts';
import type { LogFinding } from '../src/log/verify-segment.ts';
import { open } from '../src/node/open.ts';
import { diskFrom, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';
import { fullStatus } from './support/refusal.ts';
import { DATA_DIR, TestLog } from './support/test-log.ts';
import { type Ran, tidemark } from './support/tidemark.ts';

interface Report {
  readonly ok: boolean;
  readonly entries: number;
  readonly commands: number;
  readonly findings: readonly LogFinding[];
}

let root = '';
let whole = '';

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'tidemark-'));
  whole = join(root, 'whole');
  const log = { segmentBytes: 64 * 1024 };
  const node = await open({ dir: whole, log, checkpoint: { checkpointOnClose: false } });
  for (const key of ['a', 'b', 'c', 'd']) await node.submit('SET', key, key.repeat(25_000));
  await node.close();
});

after(() => rm(root, { recursive: true, force: true }));

function verify(dir: string, ...args: readonly string[]): Promise<Ran> {
  return tidemark('verify', dir, ...args);
}

let copies = 0;

/** A copy of the directory with one file changed; a change to null removes it. */
async function damaged(file: string, change: (bytes: Buffer) => Buffer | null): Promise<string> {
  const dir = join(root, `copy-${copies++}`);
  await cp(whole, dir, { recursive: true });
  const bytes = change(await readFile(join(dir, file)).catch(() => Buffer.alloc(0)));
  if (bytes === null) await rm(join(dir, file));
  else await writeFile(join(dir, file), bytes);
  return dir;
}

async function filesOf(dir: string): Promise<Map<string, string>> {
  const names = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = new Map<string, string>();
  for (const entry of names.filter((name) => name.isFile())) {
    const path = join(entry.parentPath, entry.name);
    files.set(path, (await readFile(path)).toString('latin1'));
  }
  return files;
}

test('verify: a whole directory is exit code 0', async () => {
  const { code, out } = await verify(whole, '--json');
  const report = JSON.parse(out) as Report;
  deepStrictEqual([code, report.ok, report.entries, report.commands], [0, true, 4, 4]);
  deepStrictEqual(report.findings, []);
  match((await verify(whole)).out, /^whole: /);
});

const FIRST = 'log/1-00000000000000000001.log';
const SECOND = 'log/1-00000000000000000003.log';

for (const { name, file, change, code, finding } of [
  {
    name: 'a flipped bit in a sealed segment',
    file: FIRST,
    change: (bytes: Buffer) => bytes.fill(bytes[8000]! ^ 1, 8000, 8001),
    code: 4,
    finding: { kind: 'damage', file: FIRST, offset: 4096 },
  },
  {
    name: 'a missing segment',
    file: FIRST,
    change: () => null,
    code: 4,
    finding: null,
  },
  {
    name: 'a missing tail',
    file: SECOND,
    change: () => null,
    code: 4,
    finding: null,
  },
  {
    name: 'the last batch gone, although it was committed',
    file: SECOND,
    change: (bytes: Buffer) => bytes.fill(0, 4096 + 28_672),
    code: 4,
    finding: { kind: 'damage', file: SECOND, offset: 4096 + 28_672 },
  },
  { name: 'no status', file: 'status', change: () => null, code: 4, finding: null },
  {
    name: 'two damaged copies of the status',
    file: 'status',
    change: (bytes: Buffer) => bytes.fill(1, 0, 1).fill(1, 4096, 4097),
    code: 0,
    finding: { kind: 'warning', file: 'status', offset: null },
  },
  {
    name: 'three damaged copies of the status',
    file: 'status',
    change: (bytes: Buffer) => bytes.fill(1, 0, 1).fill(1, 4096, 4097).fill(1, 8192, 8193),
    code: 4,
    finding: null,
  },
  {
    name: 'an unreadable file that is not needed',
    file: 'log/1-00000000000000000099.log',
    change: () => Buffer.alloc(10),
    code: 0,
    finding: { kind: 'warning', file: 'log/1-00000000000000000099.log', offset: null },
  },
  {
    name: 'bytes of a write that never finished',
    file: SECOND,
    change: (bytes: Buffer) => bytes.fill(5, 65_000, 65_010),
    code: 0,
    finding: { kind: 'torn', file: SECOND, offset: null },
  },
]) {
  test(`verify: ${name} is exit code ${code}, as for a start, and nothing is changed`, async () => {
    const dir = await damaged(file, change);
    const files = await filesOf(dir);
    const { code: found, out } = await verify(dir, '--json');
    strictEqual(found, code, out);
    deepStrictEqual(await filesOf(dir), files);
    const started = await open({ dir, log: { segmentBytes: 64 * 1024 } }).then(
      async (node) => {
        await node.close();
        return 0;
      },
      (error: { remedy: string }) => (error.remedy === 'restore' ? 4 : 5),
    );
    strictEqual(started, code, 'a start agrees');
    if (finding === null) return;
    const { findings } = JSON.parse(out) as Report;
    const first = findings[0]!;
    strictEqual(first.kind, finding.kind);
    ok(first.file.endsWith(finding.file), first.file);
    if (finding.offset !== null) strictEqual(first.offset, finding.offset);
  });
}

const CHECKPOINTS = 'checkpoints';

/** A directory with two checkpoints, a tag, and a file of each kind in its place. */
async function withCheckpoints(): Promise<string> {
  const dir = join(root, `checkpoints-${copies++}`);
  const node = await open({
    dir,
    log: { segmentBytes: 64 * 1024 },
    checkpoint: { checkpointOnClose: false },
  });
  for (const round of ['one', 'two']) {
    for (let at = 0; at < 30; at++) await node.submit('SET', `key-${at}`, round.repeat(1000));
    const { index } = await node.checkpoint();
    await node.tag(`at-${round}`, index);
  }
  await node.close();
  return dir;
}

async function oldestOf(dir: string, folder: string, ending: string): Promise<string> {
  const names = (await readdir(join(dir, folder))).filter((name) => name.endsWith(ending)).sort();
  return join(dir, folder, names[0]!);
}

for (const { name, folder, ending, change, code, kind } of [
  { name: 'a data file', folder: CHECKPOINTS, ending: '.data', change: 'directory', code: 3, kind: 'damage' },
  { name: 'a data file', folder: CHECKPOINTS, ending: '.data', change: 'cut', code: 3, kind: 'damage' },
  { name: 'a data file', folder: CHECKPOINTS, ending: '.data', change: 'garbage', code: 3, kind: 'damage' },
  { name: 'a data file', folder: CHECKPOINTS, ending: '.data', change: 'nowhere', code: 3, kind: 'damage' },
  { name: 'a data file', folder: CHECKPOINTS, ending: '.data', change: 'endless', code: 3, kind: 'damage' },
  { name: 'a data file', folder: CHECKPOINTS, ending: '.data', change: 'pipe', code: 3, kind: 'damage' },
  {
    name: 'an index file',
    folder: CHECKPOINTS,
    ending: '.idx',
    change: 'directory',
    code: 0,
    kind: 'warning',
  },
  { name: 'an index file', folder: CHECKPOINTS, ending: '.idx', change: 'cut', code: 3, kind: 'damage' },
  { name: 'an index file', folder: CHECKPOINTS, ending: '.idx', change: 'pipe', code: 3, kind: 'damage' },
  { name: 'a tag', folder: CHECKPOINTS, ending: '.tag', change: 'directory', code: 3, kind: 'damage' },
  { name: 'a tag', folder: CHECKPOINTS, ending: '.tag', change: 'cut', code: 3, kind: 'damage' },
  { name: 'a sparse index', folder: 'log', ending: '.idx', change: 'garbage', code: 0, kind: 'warning' },
  { name: 'a sparse index', folder: 'log', ending: '.idx', change: 'cut', code: 0, kind: 'warning' },
] as const) {
  test(`verify: ${name}, replaced by ${change}, is exit code ${code}`, async () => {
    const dir = await withCheckpoints();
    const path = await oldestOf(dir, folder, ending);
    await replace(path, change);
    const { code: found, out } = await verify(dir, '--json');
    strictEqual(found, code, out);
    const { findings } = JSON.parse(out) as Report;
    ok(
      findings.some((finding) => finding.kind === kind && finding.file === path),
      out,
    );
  });
}

for (const { folder, change } of [
  { folder: 'log', change: 'missing' },
  { folder: 'log', change: 'a file' },
  { folder: CHECKPOINTS, change: 'a file' },
]) {
  test(`verify: ${folder} that is ${change} is reported, with what else there is`, async () => {
    const dir = await withCheckpoints();
    await writeFile(join(dir, CHECKPOINTS, 'at-one.tag'), 'garbage');
    await rm(join(dir, folder), { recursive: true });
    if (change === 'a file') await writeFile(join(dir, folder), 'a file');
    const { code, out } = await verify(dir, '--json');
    strictEqual(code, 4, out);
    const { findings, commands } = JSON.parse(out) as Report;
    const files = findings.filter(({ kind }) => kind === 'damage').map(({ file }) => file);
    if (folder === 'log') deepStrictEqual(files, [join(dir, folder), join(dir, CHECKPOINTS, 'at-one.tag')]);
    else deepStrictEqual([files, commands], [[join(dir, folder)], 60]);
    await rejects(open({ dir }), { remedy: 'restore', message: /Nothing was changed/ });
  });
}

type Change = 'directory' | 'cut' | 'garbage' | 'nowhere' | 'endless' | 'pipe';

async function replace(path: string, change: Change): Promise<void> {
  if (change === 'cut') return truncate(path, 20);
  if (change === 'garbage') return writeFile(path, Buffer.alloc(5000, 'garbage'));
  await rm(path);
  if (change === 'directory') await mkdir(path);
  else if (change === 'pipe') execFileSync('mkfifo', [path]);
  else await symlink(change === 'endless' ? '/dev/zero' : '/nowhere', path);
}

test('verify: no directory, or an empty one, is a mistake of the caller: exit code 1', async () => {
  strictEqual((await verify(join(root, 'nowhere'))).code, 1);
  const empty = join(root, 'empty');
  await mkdir(empty);
  strictEqual((await verify(empty)).code, 1);
});

test('verify C1: damage in several segments is told of each, not of the first only', async () => {
  const made = await TestLog.make();
  for (let at = 0; at < 4; at++) await made.write(45_000, 10);
  await made.log.close();
  const disk = new Map(await readDisk(made.fs, DATA_DIR));
  for (const path of await made.segments()) {
    const bytes = Uint8Array.from(disk.get(path)!);
    bytes[5000]! ^= 1;
    disk.set(path, bytes);
  }
  const findings: LogFinding[] = [];
  await readLog(await diskFrom(disk), DATA_DIR, fullStatus(made.status), {
    finding: (finding) => findings.push(finding),
  });
  deepStrictEqual(
    findings.map(({ kind, file, offset }) => ({ kind, file, offset })),
    (await made.segments()).map((file) => ({ kind: 'damage', file, offset: 4096 })),
  );
});

test('verify: a sector that the disk cannot read is damage, and the rest is still read', async () => {
  const made = await TestLog.make();
  for (let at = 0; at < 4; at++) await made.write(45_000, 10);
  await made.log.close();
  const segments = await made.segments();
  for (const bad of segments) {
    const fs = new InterposedFileSystem(await diskFrom(await readDisk(made.fs, DATA_DIR)));
    fs.onCall = (call) => {
      if (call.op === 'read' && call.path === bad && call.offset > 0) refuse(call, 'EIO');
    };
    const findings: LogFinding[] = [];
    const read = new Set<string>();
    await readLog(fs, DATA_DIR, fullStatus(made.status), {
      finding: (finding) => findings.push(finding),
      record: (_record, file) => read.add(file),
    });
    ok(
      findings.every(({ kind, file }) => kind === 'damage' && file === bad),
      JSON.stringify(findings),
    );
    ok(findings.length > 0);
    deepStrictEqual(
      [...read],
      segments.filter((path) => path !== bad),
    );
  }
});
