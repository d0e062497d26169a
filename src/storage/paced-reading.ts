/**
 * A file system whose reads wait for their turn, in small pieces: what reads everything in the background
 * takes no more of the disk than it may, whoever does the reading.
 */

import type { File, FileSystem } from './file-system.ts';

/** Largest piece that is read at once: below a millisecond of most disks. */
const PIECE_BYTES_MAX = 256 * 1024;

/** @param turn Resolves when so many bytes may be read; what it throws is the outcome of the read. */
export function pacedReading(fs: FileSystem, turn: (bytes: number) => Promise<void>): FileSystem {
  return {
    makeDirectory: (path) => fs.makeDirectory(path),
    list: (path) => fs.list(path),
    stat: (path) => fs.stat(path),
    open: async (path, mode) => pacedFile(await fs.open(path, mode), turn),
    rename: (from, to) => fs.rename(from, to),
    remove: (path) => fs.remove(path),
    syncDirectory: (path) => fs.syncDirectory(path),
    lock: (path, note) => fs.lock(path, note),
  };
}

function pacedFile(file: File, turn: (bytes: number) => Promise<void>): File {
  return {
    path: file.path,
    size: () => file.size(),
    read: (target, offset) => readInPieces(file, target, offset, turn),
    readSync: (target, offset) => file.readSync(target, offset),
    write: (source, offset) => file.write(source, offset),
    writeSync: (source, offset) => file.writeSync(source, offset),
    sync: () => file.sync(),
    syncData: () => file.syncData(),
    truncate: (bytes) => file.truncate(bytes),
    close: () => file.close(),
  };
}

async function readInPieces(
  file: File,
  target: Uint8Array,
  offset: number,
  turn: (bytes: number) => Promise<void>,
): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const piece = target.subarray(done, done + PIECE_BYTES_MAX);
    await turn(piece.length);
    const read = await file.read(piece, offset + done);
    done += read;
    if (read < piece.length) break;
  }
  return done;
}
