/**
 * What every file system must do for Tidemark to stand on it, as test cases: run against the three of ours,
 * and against yours if you write one. Needs a test runner with the shape of node:test's `test`.
 *
 * It does not show durability: no program can, of a real disk. lossy-file-system.test.ts shows it of the
 * simulated one.
 */

import { assert, InvariantViolation } from '../base/assert.ts';
import { type ErrorCode, isTidemarkError, type TidemarkError } from '../base/errors.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import { SeededRandom } from './seeded-random.ts';

/** The shape of node:test's `test`, as far as it is used here. */
export type RegisterTest = (
  name: string,
  options: { readonly skip?: string },
  run: () => Promise<void>,
) => unknown;

/** A file system with an empty directory in it, of which the case may do what it likes. */
export interface SuiteSubject {
  readonly files: FileSystem;
  readonly directory: string;
  close(): Promise<void>;
}

/** An implementation of `FileSystem`, to be held to its contract. */
export interface FileSystemSuite {
  /** Of the implementation; begins the name of each case. */
  readonly name: string;
  readonly test: RegisterTest;
  open(): Promise<SuiteSubject>;
  /** Cases that do not hold for this implementation, by name, each with the reason. */
  readonly skips?: Readonly<Record<string, string>>;
}

type Case = (files: FileSystem, directory: string) => Promise<void>;

/** Registers every case. A skip of a case that does not exist is refused. */
export function registerFileSystemSuite(suite: FileSystemSuite): void {
  const skips = suite.skips ?? {};
  for (const skipped of Object.keys(skips)) assert(skipped in CASES, `there is a case named ${skipped}`);
  for (const [name, run] of Object.entries(CASES)) {
    const reason = skips[name];
    suite.test(`${suite.name}: ${name}`, reason === undefined ? {} : { skip: reason }, async () => {
      const subject = await suite.open();
      try {
        await run(subject.files, subject.directory);
      } finally {
        await subject.close();
      }
    });
  }
}

const CASES: Readonly<Record<string, Case>> = {
  async 'a directory is made once, and again without complaint'(files, directory) {
    await files.makeDirectory(`${directory}/a`);
    await files.makeDirectory(`${directory}/a`);
    same((await files.stat(`${directory}/a`))?.kind, 'directory');
    await refuses(files.makeDirectory(`${directory}/none/b`), 'TIDEMARK_FILE_MISSING');
    await place(files, `${directory}/file`, 'x');
    await refuses(files.makeDirectory(`${directory}/file`), 'TIDEMARK_FILE_EXISTS');
  },

  async 'names are listed by code unit, without . and ..'(files, directory) {
    for (const name of ['b', 'a', 'é', 'Z', '10', '9']) await place(files, `${directory}/${name}`, '');
    await files.makeDirectory(`${directory}/dir`);
    same((await files.list(directory)).join(' '), '10 9 Z a b dir é');
    await refuses(files.list(`${directory}/none`), 'TIDEMARK_FILE_MISSING');
    await refuses(files.list(`${directory}/a`), 'TIDEMARK_FILE_MISSING');
  },

  async 'stat tells kind and size, and null for nothing'(files, directory) {
    await place(files, `${directory}/a`, 'hello');
    const stat = await files.stat(`${directory}/a`);
    same(`${stat?.kind} ${stat?.bytes}`, 'file 5');
    same(await files.stat(`${directory}/none`), null);
    same(await files.stat(`${directory}/none/below`), null);
    same(await files.stat(`${directory}/a/below a file`), null);
  },

  async 'open finds what must exist, and refuses what must not'(files, directory) {
    await refuses(files.open(`${directory}/a`, 'read'), 'TIDEMARK_FILE_MISSING');
    await refuses(files.open(`${directory}/a`, 'write'), 'TIDEMARK_FILE_MISSING');
    await refuses(files.open(`${directory}/none/a`, 'create'), 'TIDEMARK_FILE_MISSING');
    await place(files, `${directory}/a`, 'kept');
    await refuses(files.open(`${directory}/a`, 'create'), 'TIDEMARK_FILE_EXISTS');
    await refuses(files.open(`${directory}/a/b`, 'read'), 'TIDEMARK_FILE_MISSING');
    same(await get(files, `${directory}/a`), 'kept');
  },

  async 'a directory is no file'(files, directory) {
    await files.makeDirectory(`${directory}/d`);
    await refuses(files.open(`${directory}/d`, 'read'), 'TIDEMARK_IO');
    await refuses(files.open(`${directory}/d`, 'write'), 'TIDEMARK_IO');
    await refuses(files.open(`${directory}/d`, 'create'), 'TIDEMARK_FILE_EXISTS');
    await refuses(files.remove(`${directory}/d`), ['TIDEMARK_IO', 'TIDEMARK_NOT_WRITABLE']);
  },

  async 'bytes are read where they were written'(files, directory) {
    const file = await files.open(`${directory}/a`, 'create');
    same(file.path, `${directory}/a`);
    await file.write(bytesOf('world'), 6);
    await file.write(bytesOf('hello'), 0);
    same(await file.size(), 11);
    same(await read(file, 0, 11), 'hello\0world');
    same(await read(file, 6, 5), 'world');
    await file.write(bytesOf('J'), 0);
    same(await read(file, 0, 5), 'Jello');
    await file.close();
  },

  async 'a read ends with the file'(files, directory) {
    const file = await put(files, `${directory}/a`, 'hello');
    same(await read(file, 3, 100), 'lo');
    same(await read(file, 5, 1), '');
    same(await read(file, 1000, 10), '');
    same(await read(file, 0, 0), '');
    same(file.readSync(new Uint8Array(100), 3), 2);
    await file.close();
  },

  async 'a write of nothing changes nothing'(files, directory) {
    const file = await put(files, `${directory}/a`, 'hello');
    await file.write(new Uint8Array(0), 100);
    file.writeSync(new Uint8Array(0), 100);
    same(await file.size(), 5);
    await file.close();
  },

  async 'what is skipped reads as zeros'(files, directory) {
    const file = await files.open(`${directory}/a`, 'create');
    await file.write(bytesOf('end'), 10_000);
    const target = new Uint8Array(10_003).fill(255);
    same(await file.read(target, 0), 10_003);
    assert(
      target.subarray(0, 10_000).every((byte) => byte === 0),
      'a hole reads as zeros',
    );
    await file.close();
  },

  async 'synchronous and asynchronous transfers are one'(files, directory) {
    const file = await files.open(`${directory}/a`, 'create');
    file.writeSync(bytesOf('sync '), 0);
    await file.write(bytesOf('async'), 5);
    const target = new Uint8Array(10);
    same(file.readSync(target, 0), 10);
    same(textOf(target), 'sync async');
    same(await read(file, 0, 10), 'sync async');
    await file.close();
  },

  async 'large transfers are whole, whatever the memory they are part of'(files, directory) {
    const random = new SeededRandom(1);
    const memory = random.fill(new Uint8Array(300_000));
    const source = memory.subarray(1001, 299_002);
    const file = await files.open(`${directory}/a`, 'create');
    await file.write(source, 777);
    const target = new Uint8Array(400_000);
    same(await file.read(target.subarray(99), 777), source.length);
    assert(
      isSame(target.subarray(99, 99 + source.length), source),
      'what was written asynchronously is read',
    );
    file.writeSync(memory, 5);
    same(file.readSync(target, 5), memory.length);
    assert(isSame(target.subarray(0, memory.length), memory), 'what was written synchronously is read');
    await file.close();
  },

  async 'the size may be cut and extended, and what was cut off is gone'(files, directory) {
    const file = await put(files, `${directory}/a`, 'hello world');
    await file.truncate(5);
    same(await file.size(), 5);
    await file.truncate(8);
    same(await read(file, 0, 100), 'hello\0\0\0');
    await file.truncate(0);
    await file.write(bytesOf('x'), 3);
    same(await read(file, 0, 100), '\0\0\0x');
    await file.truncate(1024 * 1024);
    same(await file.size(), 1024 * 1024);
    await file.close();
  },

  async 'a file opened to read is not written'(files, directory) {
    await place(files, `${directory}/a`, 'hello');
    const file = await files.open(`${directory}/a`, 'read');
    await refuses(file.write(bytesOf('x'), 0), 'TIDEMARK_IO');
    await refuses(file.truncate(1), 'TIDEMARK_IO');
    await refuses((async () => file.writeSync(bytesOf('x'), 0))(), 'TIDEMARK_IO');
    same(await read(file, 0, 10), 'hello');
    await file.close();
  },

  async 'two handles of one file see the same bytes'(files, directory) {
    const first = await put(files, `${directory}/a`, 'hello');
    const second = await files.open(`${directory}/a`, 'write');
    await second.write(bytesOf('J'), 0);
    same(await read(first, 0, 10), 'Jello');
    await second.close();
    same(await read(first, 0, 10), 'Jello');
    await first.close();
  },

  async 'F7: a rename replaces its target, whose open handle keeps the old bytes'(files, directory) {
    const old = await put(files, `${directory}/final`, 'old');
    const fresh = await put(files, `${directory}/temporary`, 'new');
    await files.rename(`${directory}/temporary`, `${directory}/final`);
    same(await files.stat(`${directory}/temporary`), null);
    same(await get(files, `${directory}/final`), 'new');
    same(await read(old, 0, 10), 'old');
    await fresh.write(bytesOf('N'), 0);
    same(await get(files, `${directory}/final`), 'New');
    await Promise.all([old.close(), fresh.close()]);
  },

  async 'F7: a rename that cannot be leaves both names as they were'(files, directory) {
    await place(files, `${directory}/a`, 'a');
    await files.makeDirectory(`${directory}/d`);
    await refuses(files.rename(`${directory}/none`, `${directory}/a`), 'TIDEMARK_FILE_MISSING');
    await refuses(files.rename(`${directory}/a`, `${directory}/none/a`), 'TIDEMARK_FILE_MISSING');
    await refuses(files.rename(`${directory}/a`, `${directory}/d`), 'TIDEMARK_IO');
    await files.rename(`${directory}/a`, `${directory}/a`);
    same((await files.list(directory)).join(' '), 'a d');
    same(await get(files, `${directory}/a`), 'a');
  },

  async 'a rename moves between directories'(files, directory) {
    await place(files, `${directory}/a`, 'a');
    await files.makeDirectory(`${directory}/d`);
    await files.rename(`${directory}/a`, `${directory}/d/b`);
    same((await files.list(directory)).join(' '), 'd');
    same(await get(files, `${directory}/d/b`), 'a');
  },

  async 'a removed file stays readable through its handle'(files, directory) {
    const file = await put(files, `${directory}/a`, 'hello');
    await files.remove(`${directory}/a`);
    same(await files.stat(`${directory}/a`), null);
    same(await read(file, 0, 10), 'hello');
    await place(files, `${directory}/a`, 'other');
    same(await read(file, 0, 10), 'hello');
    await file.close();
    await files.remove(`${directory}/a`);
    await refuses(files.remove(`${directory}/a`), 'TIDEMARK_FILE_MISSING');
  },

  async 'files and directories are synced'(files, directory) {
    const file = await put(files, `${directory}/a`, 'hello');
    await file.sync();
    await file.syncData();
    await Promise.all([file.sync(), file.syncData(), file.write(bytesOf('x'), 100)]);
    await files.syncDirectory(directory);
    await refuses(files.syncDirectory(`${directory}/none`), 'TIDEMARK_FILE_MISSING');
    await file.close();
  },

  async 'a close waits for calls in flight, may be repeated, and ends all use'(files, directory) {
    const file = await files.open(`${directory}/a`, 'create');
    const writes = Array.from({ length: 20 }, (_, at) => file.write(bytesOf(String(at % 10)), at));
    await Promise.all([file.close(), file.close()]);
    await Promise.all(writes);
    await file.close();
    same(await get(files, `${directory}/a`), '01234567890123456789');
    await violates(() => file.write(bytesOf('x'), 0));
    await violates(() => file.read(new Uint8Array(1), 0));
    await violates(() => file.syncData());
    await violates(() => file.size());
    await violates(async () => file.writeSync(bytesOf('x'), 0));
    await violates(async () => file.readSync(new Uint8Array(1), 0));
  },

  async 'L2: writes that were not awaited all arrive, in whatever order'(files, directory) {
    const file = await files.open(`${directory}/a`, 'create');
    const writes = Array.from({ length: 200 }, (_, at) => {
      return file.write(new Uint8Array(1000).fill(1 + (at % 250)), at * 1000);
    });
    await Promise.all(writes);
    const target = new Uint8Array(200_000);
    same(await file.read(target, 0), target.length);
    for (const [at, byte] of target.entries()) same(byte, 1 + (Math.floor(at / 1000) % 250));
    await file.close();
  },

  async 'L2: writes that were awaited are ordered'(files, directory) {
    const file = await files.open(`${directory}/a`, 'create');
    for (let round = 0; round < 50; round++) {
      await file.write(new Uint8Array(5000).fill(round), 0);
      file.writeSync(Uint8Array.of(255), 4999);
    }
    same(await read(file, 4997, 10), '11\u00ff');
    await file.close();
  },

  async 'L5: a buffer may be used again once its write is done'(files, directory) {
    const file = await files.open(`${directory}/a`, 'create');
    const buffer = new Uint8Array(4096);
    for (let round = 0; round < 20; round++) {
      await file.write(buffer.fill(round), round * buffer.length);
      buffer.fill(0xdd);
      file.writeSync(buffer.fill(round), (20 + round) * buffer.length);
      buffer.fill(0xdd);
    }
    const target = new Uint8Array(40 * buffer.length);
    await file.read(target, 0);
    for (const [at, byte] of target.entries()) same(byte, Math.floor(at / buffer.length) % 20);
    await file.close();
  },

  async 'D8: a lock has one owner at a time, and its note tells who'(files, directory) {
    const path = `${directory}/lock`;
    const lock = await files.lock(path, 'node 1, process 42');
    const error = await refuses(files.lock(path, 'node 2'), 'TIDEMARK_LOCKED');
    same(error.facts['owner'], 'node 1, process 42');
    const other = await files.lock(`${directory}/other lock`, 'x');
    await other.release();
    await Promise.all([lock.release(), lock.release()]);
    const next = await files.lock(path, 'node 3');
    same((await refuses(files.lock(path, 'node 4'), 'TIDEMARK_LOCKED')).facts['owner'], 'node 3');
    await lock.release();
    await refuses(files.lock(path, 'node 4'), 'TIDEMARK_LOCKED');
    await next.release();
    same(await get(files, path), 'node 3');
  },

  async 'an error names the operation, the path, the system code and what to do'(files, directory) {
    const path = `${directory}/none`;
    const error = await refuses(files.open(path, 'read'), 'TIDEMARK_FILE_MISSING');
    same(error.remedy, 'fix-call');
    same(JSON.stringify(error.facts), JSON.stringify({ operation: 'open', path, systemCode: 'ENOENT' }));
    same(error.message, `cannot open ${path}: ENOENT; check the path; every directory in it must exist`);
    await place(files, `${directory}/a`, 'x');
    const file = await files.open(`${directory}/a`, 'read');
    const refused = await refuses(file.write(bytesOf('x'), 7), 'TIDEMARK_IO');
    same(`${refused.remedy} ${refused.facts['offset']} ${refused.facts['systemCode']}`, 'repair 7 EBADF');
    await file.close();
  },
};

/** Creates a file and closes it. */
async function place(files: FileSystem, path: string, text: string): Promise<void> {
  const file = await put(files, path, text);
  await file.close();
}

/** Creates a file and leaves it open. */
async function put(files: FileSystem, path: string, text: string): Promise<File> {
  const file = await files.open(path, 'create');
  await file.write(bytesOf(text), 0);
  return file;
}

async function get(files: FileSystem, path: string): Promise<string> {
  const file = await files.open(path, 'read');
  try {
    return await read(file, 0, await file.size());
  } finally {
    await file.close();
  }
}

async function read(file: File, offset: number, bytes: number): Promise<string> {
  const target = new Uint8Array(bytes);
  const count = await file.read(target, offset);
  return textOf(target.subarray(0, count));
}

/** Latin-1, so that every byte is one character. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

function same(got: unknown, wanted: unknown): void {
  assert(Object.is(got, wanted), `wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`);
}

async function refuses(
  call: Promise<unknown>,
  wanted: ErrorCode | readonly ErrorCode[],
): Promise<TidemarkError> {
  const codes: readonly ErrorCode[] = typeof wanted === 'string' ? [wanted] : wanted;
  try {
    await call;
  } catch (error) {
    assert(
      isTidemarkError(error) && codes.includes(error.code),
      `wanted ${codes.join(' or ')}, got ${String(error)}`,
    );
    return error;
  }
  assert(false, `wanted ${codes.join(' or ')}, and the call succeeded`);
}

async function violates(call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    assert(error instanceof InvariantViolation, `wanted a violation, got ${String(error)}`);
    return;
  }
  assert(false, 'wanted a violation, and the call succeeded');
}
