/**
 * A node on a data directory that is not as it should be (checklist D4 to D8, E3, F9, L1): one clear error
 * before anything is changed, and nothing of anybody's is removed.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { cp, mkdir, mkdtemp, readFile as readRealFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isTidemarkError, type TidemarkError } from '../src/base/errors.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { assertUnchanged, type DiskBytes, damage, diskFrom, put, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';
import { DATA_DIR, LOG_DIR, SEGMENT_BYTES, settle } from './support/test-log.ts';

const log = { segmentBytes: SEGMENT_BYTES };

function openOn(fs: FileSystem, clock = new ManualClock(), checkpointOnClose = true) {
  return open({
    dir: DATA_DIR,
    log,
    checkpoint: { checkpointOnClose },
    doors: { fs, clock, chance: new SeededRandom(Math.random() * 2 ** 31) },
  });
}

/**
 * A data directory with three values in it, closed: in its log, and in a checkpoint unless told otherwise.
 */
async function closedDirectory(last: 'checkpoint' | 'log-only' = 'checkpoint'): Promise<DiskBytes> {
  const fs = new MemoryFileSystem();
  const node = await openOn(fs, new ManualClock(), last === 'checkpoint');
  for (const key of ['a', 'b', 'c']) await node.submit('SET', key, key.repeat(30_000));
  await node.close();
  return readDisk(fs, DATA_DIR);
}

/** Opening is refused with that code, nothing is changed, no file is left open and the lock is free. */
async function refuses(disk: DiskBytes, code: string): Promise<TidemarkError> {
  const inner = await diskFrom(disk);
  const fs = new InterposedFileSystem(inner);
  const error = await openOn(fs).then(
    () => new Error('it was opened'),
    (thrown: Error) => thrown,
  );
  ok(isTidemarkError(error), error.stack);
  strictEqual(error.code, code, error.message);
  await assertUnchanged(inner, DATA_DIR, disk);
  deepStrictEqual(fs.handles, []);
  await (await inner.lock(`${DATA_DIR}/lock`, 'test')).release();
  return error;
}

async function holdsAll(disk: DiskBytes): Promise<void> {
  const node = await openOn(await diskFrom(disk));
  strictEqual(await node.query('DBSIZE'), 3);
  await node.close();
}

test('node D7: a read-only mount is one clear error, and nothing is changed', async () => {
  const disk = await closedDirectory();
  for (const systemCode of ['EROFS', 'EACCES', 'EPERM']) {
    const inner = await diskFrom(disk);
    const fs = new InterposedFileSystem(inner);
    const changes = new Set(['make-directory', 'create', 'rename', 'remove', 'write', 'truncate', 'lock']);
    fs.onCall = (call) => {
      if (changes.has(call.op)) refuse(call, systemCode);
    };
    const before = await readDisk(inner, DATA_DIR);
    await rejects(openOn(fs), (error) => isTidemarkError(error, 'TIDEMARK_NOT_WRITABLE'));
    await assertUnchanged(inner, DATA_DIR, before);
  }
  await holdsAll(disk);
});

test('node D7: what cannot be read is one clear error', async () => {
  for (const last of ['checkpoint', 'log-only'] as const) {
    const disk = await closedDirectory(last);
    for (const path of disk.keys()) {
      const inner = await diskFrom(disk);
      const fs = new InterposedFileSystem(inner);
      fs.onCall = (call) => {
        const isUse = ['open', 'list', 'lock'].includes(call.op);
        if (call.path === path && isUse) refuse(call, 'EACCES');
      };
      const isNeeded = !path.startsWith(LOG_DIR) || !path.endsWith('.idx');
      if (isNeeded) await rejects(openOn(fs), { code: 'TIDEMARK_NOT_WRITABLE' }, path);
      else await (await openOn(fs)).close();
    }
  }
});

test('node F9: without file descriptors nothing is changed, and the next opening finds all', async () => {
  const disk = await closedDirectory();
  for (const systemCode of ['EMFILE', 'ENFILE', 'ENOMEM']) {
    const inner = await diskFrom(disk);
    const fs = new InterposedFileSystem(inner);
    fs.onCall = (call) => {
      if (call.op === 'open' || call.op === 'create') refuse(call, systemCode);
    };
    await rejects(openOn(fs), (error) => isTidemarkError(error, 'TIDEMARK_RESOURCES'));
    await assertUnchanged(inner, DATA_DIR, disk);
    fs.onCall = () => undefined;
    const node = await openOn(fs);
    strictEqual(await node.query('DBSIZE'), 3);
    await node.close();
  }
});

test('node D8: a second owner is refused, and gets in when the first has closed', async () => {
  const fs = new MemoryFileSystem();
  const first = await openOn(fs);
  await first.submit('SET', 'a', '1');
  const before = await readDisk(fs, DATA_DIR);
  for (let tries = 0; tries < 3; tries++) {
    await rejects(openOn(fs), (error) => isTidemarkError(error, 'TIDEMARK_LOCKED'));
  }
  await first.submit('SET', 'b', '2');
  strictEqual((await readDisk(fs, DATA_DIR)).size, before.size);
  await first.close();
  const second = await openOn(fs);
  strictEqual(await second.query('DBSIZE'), 2);
  await second.close();
});

test('node E3: a lost status with a log is never taken for a new directory', async () => {
  const disk = await closedDirectory();
  const status = `${DATA_DIR}/status`;
  const without = new Map([...disk].filter(([path]) => path !== status));
  for (const spoilt of [
    without,
    new Map(disk).set(status, new Uint8Array(0)),
    new Map(disk).set(status, new Uint8Array(16_384)),
    new Map(disk).set(status, disk.get(status)!.subarray(0, 4096)),
    new Map(without).set(`${status}.tmp`, disk.get(status)!),
    new Map(without).set(`${LOG_DIR}/notes.txt`, Buffer.from('mine')),
  ]) {
    const error = await refuses(spoilt, 'TIDEMARK_STATUS_DAMAGED');
    strictEqual(error.remedy, 'restore');
  }
});

test('node E3: a log without records, but not as a new one is made, has lost its status too', async () => {
  const fs = new MemoryFileSystem();
  await (await openOn(fs)).close();
  const disk = new Map(await readDisk(fs, DATA_DIR));
  disk.delete(`${DATA_DIR}/status`);
  const first = `${LOG_DIR}/1-00000000000000000001.log`;
  ok(disk.has(first));
  const later = new Map(disk).set(`${LOG_DIR}/1-00000000000000000101.log`, disk.get(first)!);
  later.delete(first);
  for (const spoilt of [
    later,
    new Map(disk).set(`${LOG_DIR}/1-00000000000000000001.idx`, new Uint8Array(64)),
    new Map(disk).set(`${DATA_DIR}/quarantine`, null).set(`${DATA_DIR}/quarantine/x`, new Uint8Array(1)),
  ]) {
    await refuses(spoilt, 'TIDEMARK_STATUS_DAMAGED');
  }
  // As it is, it is half-built, and is made again.
  const node = await openOn(await diskFrom(disk));
  strictEqual(node.recovery.isNew, true);
  await node.close();
});

test('node E3: a status without its log is refused', async () => {
  const disk = await closedDirectory();
  const onlyStatus = new Map([...disk].filter(([path]) => !path.startsWith(`${LOG_DIR}/`)));
  await refuses(onlyStatus, 'TIDEMARK_LOG_DAMAGED');
  const noDirectory = new Map([...onlyStatus].filter(([path]) => path !== LOG_DIR));
  const error = await refuses(noDirectory, 'TIDEMARK_LOG_DAMAGED');
  match(error.message, /log/);
});

test('node D5: a directory of somebody else keeps every file, also one that only has a log', async () => {
  for (const names of [
    ['letter.txt'],
    ['log/app.log'],
    ['log/2026-11-21.log', 'log/errors.log'],
    ['log/spare-x'],
    ['quarantine/x', 'log/app.log'],
    ['log/sub/app.log'],
  ]) {
    const fs = new MemoryFileSystem();
    await fs.makeDirectory(DATA_DIR);
    for (const name of names) {
      const parts = name.split('/');
      for (let at = 1; at < parts.length; at++) {
        await fs.makeDirectory(`${DATA_DIR}/${parts.slice(0, at).join('/')}`);
      }
      await put(fs, `${DATA_DIR}/${name}`, Buffer.from('mine'));
    }
    const before = await readDisk(fs, DATA_DIR);
    await rejects(
      openOn(fs),
      (error) => isTidemarkError(error, 'TIDEMARK_NOT_A_DATA_DIRECTORY'),
      names.join(),
    );
    await assertUnchanged(fs, DATA_DIR, before);
    strictEqual(await fs.stat(`${DATA_DIR}/lock`), null, 'not even a lock is put there');
  }
});

test('node D5: unknown files are left alone, with a warning for those in the log', async () => {
  const disk = new Map(await closedDirectory());
  disk.set(`${DATA_DIR}/notes.txt`, Buffer.from('mine')).set(`${LOG_DIR}/notes.txt`, Buffer.from('mine too'));
  const fs = await diskFrom(disk);
  const node = await openOn(fs);
  deepStrictEqual(node.recovery.warnings, [`${LOG_DIR}/notes.txt is not a file of Tidemark's; left alone`]);
  await node.close();
  const after = await readDisk(fs, DATA_DIR);
  for (const path of [`${DATA_DIR}/notes.txt`, `${LOG_DIR}/notes.txt`]) {
    deepStrictEqual(Buffer.from(after.get(path)!), Buffer.from(disk.get(path)!));
  }
});

test('node: a status of a newer format is refused, and nothing is changed', async () => {
  const disk = await closedDirectory();
  const { createHash } = await import('node:crypto');
  const status = Uint8Array.from(disk.get(`${DATA_DIR}/status`)!);
  const slot = status.subarray(4096, 8192);
  new DataView(slot.buffer, slot.byteOffset).setUint16(8, 2, true);
  slot.set(createHash('sha256').update(slot.subarray(0, 4064)).digest(), 4064);
  await refuses(new Map(disk).set(`${DATA_DIR}/status`, status), 'TIDEMARK_FORMAT_NEWER');
});

test('node D4: a log of another cluster under this status is refused', async () => {
  const disk = await closedDirectory();
  const other = await closedDirectory();
  const mixed = new Map([...other].filter(([path]) => path.startsWith(LOG_DIR)));
  for (const [path, bytes] of disk) if (!path.startsWith(`${LOG_DIR}/`)) mixed.set(path, bytes);
  const sorted = new Map([...mixed].toSorted(([left], [right]) => (left < right ? -1 : 1)));
  await refuses(sorted, 'TIDEMARK_FOREIGN_FILE');
});

test('node: files where directories should be are one clear error', async () => {
  const disk = await closedDirectory();
  const noLog = new Map([...disk].filter(([path]) => !path.startsWith(LOG_DIR))).set(
    LOG_DIR,
    Buffer.from('x'),
  );
  await rejects(openOn(await diskFrom(noLog)), (error) => isTidemarkError(error));
  const fileAsLog = new MemoryFileSystem();
  await fileAsLog.makeDirectory(DATA_DIR);
  await put(fileAsLog, LOG_DIR, Buffer.from('x'));
  await rejects(openOn(fileAsLog), (error) => isTidemarkError(error, 'TIDEMARK_NOT_A_DATA_DIRECTORY'));
  const fs = new MemoryFileSystem();
  await put(fs, DATA_DIR, Buffer.from('x'));
  await rejects(openOn(fs), (error) => isTidemarkError(error, 'TIDEMARK_NOT_A_DATA_DIRECTORY'));
});

test('node L1: a disk that fails while the node closes does not keep it from closing', async () => {
  for (const failing of ['write', 'sync-data', 'sync', 'close'] as const) {
    const fs = new InterposedFileSystem(new MemoryFileSystem());
    const node = await openOn(fs);
    await node.submit('SET', 'a', '1');
    fs.onCall = (call) => {
      if (call.op === failing) refuse(call, 'EIO');
    };
    const answer = node.submit('SET', 'b', '2').then(
      () => 'answered',
      () => 'failed',
    );
    let isClosed = false;
    const closing = node.close().then(
      () => 'closed',
      () => 'failed',
    );
    void closing.finally(() => {
      isClosed = true;
    });
    await settle(() => isClosed);
    await answer;
    await (await fs.lock(`${DATA_DIR}/lock`, 'test')).release();
  }
});

test('node C1, D6: on a real disk', async (t: TestContext) => {
  const root = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const dir = join(root, 'data');
  const node = await open({ dir, log, checkpoint: { checkpointOnClose: false } });
  for (const key of ['a', 'b', 'c']) await node.submit('SET', key, key.repeat(30_000));
  await node.close();

  const copy = join(root, 'copy');
  await cp(dir, copy, { recursive: true });
  const path = join(copy, 'log', '1-00000000000000000001.log');
  const bytes = await readRealFile(path);
  bytes[9000]! ^= 1;
  await writeFile(path, bytes);
  await rejects(open({ dir: copy, log }), (error) => {
    ok(isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED'));
    strictEqual(error.facts['file'], path);
    return true;
  });
  await rejects(open({ dir: copy, log }), (error) => isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED'));
  deepStrictEqual(await readRealFile(path), bytes);

  await writeFile(join(dir, 'log', '1-00000000000000000777.log'), '');
  await mkdir(join(dir, 'log', '1-00000000000000000778.log'));
  const again = await open({ dir, log });
  strictEqual(again.recovery.warnings.length, 2);
  strictEqual(await again.query('DBSIZE'), 3);
  await again.close();
  strictEqual((await readRealFile(join(dir, 'quarantine', '1-00000000000000000777.log'))).length, 0);
});

test('node C2: damage that a machine meets while replaying changes nothing', async () => {
  const disk = await closedDirectory('log-only');
  const inner = await diskFrom(disk);
  const [first] = (await inner.list(LOG_DIR)).filter((name) => name.endsWith('.log'));
  await damage(inner, `${LOG_DIR}/${first}`, (bytes) => void (bytes[8000]! ^= 1));
  await refuses(await readDisk(inner, DATA_DIR), 'TIDEMARK_LOG_DAMAGED');
});
