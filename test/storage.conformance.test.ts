/**
 * One suite for every file system (src/testing/file-system-suite.ts). Node's also with system calls that move
 * fewer bytes than asked and are interrupted (checklist A7, L3).
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { NodeFileSystem } from '../src/storage/node-file-system.ts';
import { registerFileSystemSuite, type SuiteSubject } from '../src/testing/file-system-suite.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { drawSeed } from './support/seed.ts';
import { shortSystemCalls } from './support/short-system-calls.ts';

const seed = drawSeed();
test('storage: the seed of this run', (t) => t.diagnostic(`reproduce with SEED=${seed}`));

async function onDisk(files: FileSystem): Promise<SuiteSubject> {
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-storage-'));
  return { files, directory, close: () => rm(directory, { recursive: true }) };
}

async function inMemory(files: FileSystem): Promise<SuiteSubject> {
  await files.makeDirectory('data');
  return { files, directory: 'data', close: async () => {} };
}

registerFileSystemSuite({ name: 'node', test, open: () => onDisk(new NodeFileSystem()) });
registerFileSystemSuite({
  name: 'A7 L3 node with short and interrupted calls',
  test,
  open: () => onDisk(new NodeFileSystem({ calls: shortSystemCalls(seed) })),
});
registerFileSystemSuite({ name: 'memory', test, open: () => inMemory(new MemoryFileSystem()) });
registerFileSystemSuite({ name: 'lossy', test, open: () => inMemory(new LossyFileSystem({ seed })) });
registerFileSystemSuite({
  name: 'lossy, completing in order',
  test,
  open: () => inMemory(new LossyFileSystem({ completionOrder: 'issued' })),
});
registerFileSystemSuite({
  name: 'lossy, after a kill and a power cut',
  test,
  async open() {
    const files = new LossyFileSystem({ seed });
    await files.makeDirectory('data');
    await files.syncDirectory('');
    const [image] = files.kill().crashImages();
    return { files: image!.files, directory: 'data', close: async () => {} };
  },
});
