/** A small file, written and held against what comes back: nothing is renamed into place on trust. */

import { bufferOf } from '../base/bytes.ts';
import { TidemarkError } from '../base/errors.ts';
import { readToEnd } from '../log/read-to-end.ts';
import type { FileSystem } from '../storage/file-system.ts';

/**
 * Creates the file with these bytes, durable and read back when it resolves; its name is not durable yet.
 * @throws TidemarkError TIDEMARK_IO when other bytes come back.
 */
export async function writeVerified(fs: FileSystem, path: string, bytes: Uint8Array): Promise<void> {
  const file = await fs.open(path, 'create');
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  const found = await readUpTo(fs, path, bytes.length + 1);
  if (!bufferOf(found).equals(bytes)) throw comesBackDifferent(path, 0);
}

/** The first bytes of a file, at most so many. */
export async function readUpTo(fs: FileSystem, path: string, bytesMax: number): Promise<Uint8Array> {
  const file = await fs.open(path, 'read');
  try {
    const bytes = new Uint8Array(bytesMax);
    return bytes.subarray(0, await readToEnd(file, bytes, 0));
  } finally {
    await file.close();
  }
}

/** What was written is not what comes back. */
export function comesBackDifferent(file: string, offset: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_IO',
    `what was read back from ${file} at offset ${offset} is not what was written. It was given up, and ` +
      'what was there before is as it was; check this disk',
    { remedy: 'repair', facts: { file, offset } },
  );
}
