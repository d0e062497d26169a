/** A whole disk as a value: to compare before and after, to damage a copy, to start again after a crash. */

import { deepStrictEqual } from 'node:assert';
import type { FileSystem } from '../../src/storage/file-system.ts';
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts';

/** Path → content; null for a directory. Sorted by path, parents first. */
export type DiskBytes = ReadonlyMap<string, Uint8Array | null>;

/** Everything at and below `dir`. */
export async function readDisk(fs: FileSystem, dir: string): Promise<Map<string, Uint8Array | null>> {
  const found = new Map<string, Uint8Array | null>();
  await collect(fs, dir, found);
  return found;
}

async function collect(fs: FileSystem, path: string, found: Map<string, Uint8Array | null>): Promise<void> {
  const stat = await fs.stat(path);
  if (stat === null) return;
  if (stat.kind === 'file') {
    found.set(path, await readFile(fs, path));
    return;
  }
  found.set(path, null);
  for (const name of await fs.list(path)) await collect(fs, `${path}/${name}`, found);
}

export async function readFile(fs: FileSystem, path: string): Promise<Uint8Array> {
  const file = await fs.open(path, 'read');
  const bytes = new Uint8Array(await file.size());
  await file.read(bytes, 0);
  await file.close();
  return bytes;
}

/** A file system in memory that holds a copy of `disk`; nothing is locked there. */
export async function diskFrom(disk: DiskBytes): Promise<MemoryFileSystem> {
  const fs = new MemoryFileSystem();
  for (const [path, bytes] of disk) await put(fs, path, bytes);
  return fs;
}

/** Puts a file, or a directory, at `path`, replacing a file that is there. */
export async function put(fs: FileSystem, path: string, bytes: Uint8Array | null): Promise<void> {
  if (bytes === null) return fs.makeDirectory(path);
  if ((await fs.stat(path)) !== null) await fs.remove(path);
  const file = await fs.open(path, 'create');
  await file.write(bytes, 0);
  await file.close();
}

/** Changes the bytes of one file. */
export async function damage(
  fs: FileSystem,
  path: string,
  change: (bytes: Uint8Array) => Uint8Array | void,
): Promise<void> {
  const bytes = await readFile(fs, path);
  await put(fs, path, change(bytes) ?? bytes);
}

/** Nothing differs but the owner's note in the lock. */
export async function assertUnchanged(fs: FileSystem, dir: string, before: DiskBytes): Promise<void> {
  const after = await readDisk(fs, dir);
  deepStrictEqual(namesOf(after), namesOf(before), 'the same files');
  for (const [path, bytes] of withoutLock(before)) {
    const now = after.get(path);
    const isSame = bytes == null || now == null ? bytes === now : Buffer.compare(bytes, now) === 0;
    deepStrictEqual(isSame, true, `${path} is unchanged`);
  }
}

function namesOf(disk: DiskBytes): string[] {
  return [...withoutLock(disk).keys()].toSorted();
}

function withoutLock(disk: DiskBytes): Map<string, Uint8Array | null> {
  return new Map([...disk].filter(([path]) => !path.endsWith('/lock')));
}
