/**
 * Node's file system (src/storage/node-file-system.ts) where the operating system misbehaves: short and
 * interrupted calls (A7, L3), a pool of any size (L2), directories that cannot be synced (L4), no descriptors
 * left (F9), a second owner (D8). Method: the real code over system calls that a test replaces, and real
 * processes.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isTidemarkError, TidemarkError } from '../src/base/errors.ts';
import { NodeFileSystem } from '../src/storage/node-file-system.ts';
import { type Callback, type SystemCalls, systemCalls } from '../src/storage/system-calls.ts';
import { systemError } from '../src/storage/system-error.ts';
import { interruption } from './support/short-system-calls.ts';

const root = mkdtempSync(join(tmpdir(), 'tidemark-node-files-'));
after(() => rmSync(root, { recursive: true }));
const newDirectory = (): string => mkdtempSync(join(root, 'case-'));

function over(replaced: Partial<SystemCalls>): NodeFileSystem {
  return new NodeFileSystem({ calls: { ...systemCalls, ...replaced } });
}

const fails =
  (code: string) =>
  (...args: readonly unknown[]): void => {
    const done = args.at(-1) as Callback;
    setImmediate(done, interruption(code));
  };

for (const step of [1, 2, 3, 7, 511, 4096]) {
  test(`A7 L3: transfers of at most ${step} bytes are continued at their position`, async () => {
    const files = over({
      read: (fd, bytes, at, length, offset, done) =>
        systemCalls.read(fd, bytes, at, Math.min(length, step), offset, done),
      write: (fd, bytes, at, length, offset, done) =>
        systemCalls.write(fd, bytes, at, Math.min(length, step), offset, done),
      readSync: (fd, bytes, at, length, offset) =>
        systemCalls.readSync(fd, bytes, at, Math.min(length, step), offset),
      writeSync: (fd, bytes, at, length, offset) =>
        systemCalls.writeSync(fd, bytes, at, Math.min(length, step), offset),
    });
    const source = Uint8Array.from({ length: 2000 }, (_, at) => at % 251);
    const file = await files.open(join(newDirectory(), 'a'), 'create');
    await file.write(source, 3000);
    file.writeSync(source, 100);
    const target = new Uint8Array(6000);
    strictEqual(await file.read(target, 0), 5000);
    strictEqual(file.readSync(target, 0), 5000);
    deepStrictEqual(target.slice(100, 2100), source);
    deepStrictEqual(target.slice(3000, 5000), source);
    await file.close();
  });
}

test('A7: interrupted calls are repeated, but not for ever', async () => {
  let interruptions = 500;
  const files = over({
    write: (fd, bytes, at, length, offset, done) => {
      if (interruptions-- > 0) setImmediate(done, interruption('EINTR'), 0);
      else systemCalls.write(fd, bytes, at, length, offset, done);
    },
    writeSync: () => {
      throw interruption('EAGAIN');
    },
  });
  const file = await files.open(join(newDirectory(), 'a'), 'create');
  await file.write(Uint8Array.of(1, 2, 3), 0);
  strictEqual(await file.size(), 3);
  throws(
    () => file.writeSync(Uint8Array.of(1), 0),
    (error) => isTidemarkError(error, 'TIDEMARK_IO') && error.facts['systemCode'] === 'EAGAIN',
  );
  await file.close();
});

test('A7: a write that makes no progress fails, and says where it stopped', async () => {
  let bytesLeft = 5;
  const files = over({
    writeSync: (fd, bytes, at, length, offset) => {
      const moved = Math.min(length, bytesLeft);
      bytesLeft -= moved;
      return moved === 0 ? 0 : systemCalls.writeSync(fd, bytes, at, moved, offset);
    },
  });
  const file = await files.open(join(newDirectory(), 'a'), 'create');
  throws(
    () => file.writeSync(new Uint8Array(10), 100),
    (error) => isTidemarkError(error, 'TIDEMARK_IO') && error.facts['offset'] === 105,
  );
  await file.close();
});

test('a failed sync is reported, and not repeated', async () => {
  let syncs = 0;
  const failing = (_fd: number, done: Callback): void => {
    syncs++;
    setImmediate(done, interruption('EIO'));
  };
  const file = await over({ fsync: failing, fdatasync: failing }).open(join(newDirectory(), 'a'), 'create');
  await rejects(file.sync(), { code: 'TIDEMARK_IO', remedy: 'repair' });
  await rejects(file.syncData(), { code: 'TIDEMARK_IO', remedy: 'repair' });
  strictEqual(syncs, 2);
  await file.close();
});

for (const code of ['EPERM', 'EISDIR', 'EINVAL']) {
  test(`L4: a platform that answers ${code} to the sync of a directory is named, once`, async () => {
    const notices: string[] = [];
    const files = new NodeFileSystem({
      calls: { ...systemCalls, fsync: fails(code) },
      onDirectorySyncUnsupported: (notice) => notices.push(notice),
    });
    const directory = newDirectory();
    await files.syncDirectory(directory);
    await files.syncDirectory(directory);
    strictEqual(notices.length, 1);
    match(notices[0]!, new RegExp(`cannot sync a directory \\(${code} on ${directory}\\)`));
  });
}

test('L4: any other failure of a directory sync is an error, and the descriptor is closed', async () => {
  let closed = 0;
  const files = over({
    fsync: fails('EIO'),
    close: (fd, done) => {
      closed++;
      systemCalls.close(fd, done);
    },
  });
  await rejects(files.syncDirectory(newDirectory()), { code: 'TIDEMARK_IO' });
  strictEqual(closed, 1);
});

test('F9: without descriptors or memory nothing changes, and a later attempt succeeds', async () => {
  const directory = newDirectory();
  for (const code of ['EMFILE', 'ENFILE', 'ENOMEM']) {
    const starved = over({ open: fails(code) });
    for (const attempt of [
      () => starved.open(join(directory, 'a'), 'create'),
      () => starved.lock(join(directory, 'lock'), 'x'),
      () => starved.syncDirectory(directory),
    ]) {
      await rejects(attempt(), { code: 'TIDEMARK_RESOURCES', remedy: 'retry' });
    }
  }
  const files = new NodeFileSystem();
  deepStrictEqual(await files.list(directory), []);
  await (await files.open(join(directory, 'a'), 'create')).close();
});

test('F7: a rename that the system refuses leaves both names as they were', async () => {
  const directory = newDirectory();
  const files = over({ rename: fails('EIO') });
  for (const name of ['a', 'b']) await (await files.open(join(directory, name), 'create')).close();
  await rejects(files.rename(join(directory, 'a'), join(directory, 'b')), { code: 'TIDEMARK_IO' });
  deepStrictEqual(await files.list(directory), ['a', 'b']);
});

test('a descriptor is not closed before the calls in flight have returned', async () => {
  const order: string[] = [];
  const files = over({
    write: (fd, bytes, at, length, offset, done) => {
      setTimeout(() => {
        systemCalls.write(fd, bytes, at, length, offset, (error, moved) => {
          order.push('written');
          done(error, moved);
        });
      }, 20);
    },
    close: (fd, done) => {
      order.push('closed');
      systemCalls.close(fd, done);
    },
  });
  const file = await files.open(join(newDirectory(), 'a'), 'create');
  const written = file.write(Uint8Array.of(1), 0);
  await file.close();
  await written;
  deepStrictEqual(order, ['written', 'closed']);
});

test('system codes have one meaning each', () => {
  const meanings = {
    ENOSPC: 'TIDEMARK_DISK_FULL retry',
    EDQUOT: 'TIDEMARK_DISK_FULL retry',
    EACCES: 'TIDEMARK_NOT_WRITABLE fix-call',
    EPERM: 'TIDEMARK_NOT_WRITABLE fix-call',
    EROFS: 'TIDEMARK_NOT_WRITABLE fix-call',
    ENOENT: 'TIDEMARK_FILE_MISSING fix-call',
    ENOTDIR: 'TIDEMARK_FILE_MISSING fix-call',
    EEXIST: 'TIDEMARK_FILE_EXISTS fix-call',
    EMFILE: 'TIDEMARK_RESOURCES retry',
    ENFILE: 'TIDEMARK_RESOURCES retry',
    ENOMEM: 'TIDEMARK_RESOURCES retry',
    EIO: 'TIDEMARK_IO repair',
    EBADF: 'TIDEMARK_IO repair',
    EXYZ: 'TIDEMARK_IO repair',
  };
  for (const [code, meaning] of Object.entries(meanings)) {
    const cause = interruption(code);
    const error = systemError({ operation: 'write', path: '/d/a', offset: 7 }, cause);
    strictEqual(`${error.code} ${error.remedy}`, meaning);
    strictEqual(error.cause, cause);
    ok(error.message.startsWith(`cannot write /d/a at offset 7: ${code}; `), error.message);
  }
  strictEqual(systemError({ operation: 'write', path: '/d/a' }, 'no error').facts['systemCode'], 'UNKNOWN');
});

test('a full disk keeps nobody from owning a directory', async () => {
  const files = over({ write: fails('ENOSPC') });
  const path = join(newDirectory(), 'lock');
  const lock = await files.lock(path, 'the first');
  await rejects(new NodeFileSystem().lock(path, 'the second'), (error) => {
    ok(error instanceof TidemarkError);
    match(error.message, /held by another process \(it left no note\)/);
    return error.code === 'TIDEMARK_LOCKED';
  });
  await lock.release();
});

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const childPath = fileURLToPath(new URL(`support/storage-child.${extension}`, import.meta.url));

function spawnChild(args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  return spawn(process.execPath, [childPath, ...args], {
    stdio: [...stdio],
    env: { ...process.env, ...env },
  });
}

async function saidBy(child: ChildProcess): Promise<string> {
  const [said] = (await once(child.stdout!, 'data')) as [Buffer];
  return said.toString().trim();
}

test('D8: another process is refused, and the lock is freed by kill -9', { timeout: 30_000 }, async () => {
  const path = join(newDirectory(), 'lock');
  const child = spawnChild(['lock', path]);
  strictEqual(await saidBy(child), 'locked');
  const files = new NodeFileSystem();
  await rejects(files.lock(path, 'the parent'), {
    code: 'TIDEMARK_LOCKED',
    facts: { path, owner: `process ${child.pid}` },
  });
  child.kill('SIGKILL');
  await once(child, 'exit');
  const lock = await files.lock(path, 'the parent');
  await lock.release();
});

for (const poolSize of [1, 64]) {
  test(`L2: awaited writes are ordered with a pool of ${poolSize}`, { timeout: 30_000 }, async () => {
    const child = spawnChild(['chains', newDirectory()], { UV_THREADPOOL_SIZE: String(poolSize) });
    const exited = once(child, 'exit');
    strictEqual(await saidBy(child), 'written');
    deepStrictEqual(await exited, [0, null]);
  });
}
