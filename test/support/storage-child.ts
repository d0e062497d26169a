/** What the storage tests do in another process: `lock PATH` or `chains DIRECTORY`. */

import { strictEqual } from 'node:assert';
import { NodeFileSystem } from '../../src/storage/node-file-system.ts';

const CHAINS = 8;
const CHAIN_WRITES = 100;

async function main([verb, path]: readonly string[]): Promise<void> {
  const files = new NodeFileSystem();
  if (verb === 'lock') {
    await files.lock(path!, `process ${process.pid}`);
    process.stdout.write('locked\n');
    setInterval(() => {}, 1000);
  } else {
    await Promise.all(Array.from({ length: CHAINS }, (_, chain) => writeChain(files, `${path}/${chain}`)));
    process.stdout.write('written\n');
  }
}

/** Overlapping writes of one file, each awaited, while other chains keep the pool busy: the last one wins. */
async function writeChain(files: NodeFileSystem, path: string): Promise<void> {
  const file = await files.open(path, 'create');
  for (let write = 0; write < CHAIN_WRITES; write++) {
    await file.write(new Uint8Array(20_000).fill(write), (write % 3) * 1000);
    if (write % 10 === 0) await file.syncData();
  }
  const target = new Uint8Array(20_000);
  await file.read(target, ((CHAIN_WRITES - 1) % 3) * 1000);
  for (const byte of target) strictEqual(byte, CHAIN_WRITES - 1);
  await file.close();
}

await main(process.argv.slice(2));
