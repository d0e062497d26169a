/** Reading that does not take a disk's word for where a file ends. */

import { TidemarkError } from '../base/errors.ts';
import type { File } from '../storage/file-system.ts';

/**
 * Reads from `offset` until `target` is full or the file ends; returns the bytes read.
 * @throws TidemarkError TIDEMARK_IO when a read stopped before the file's end. That is no torn write: the
 *   bytes are in the file and did not come (checklist F6).
 */
export async function readToEnd(file: File, target: Uint8Array, offset: number): Promise<number> {
  const read = await file.read(target, offset);
  if (read === target.length || offset + read >= (await file.size())) return read;
  throw new TidemarkError(
    'TIDEMARK_IO',
    `reading ${file.path} stopped at offset ${offset + read}, before the file's end. Nothing was changed; ` +
      'check the disk, and bring the file back from a copy or a backup if it stays so',
    { remedy: 'restore', facts: { file: file.path, offset: offset + read } },
  );
}
