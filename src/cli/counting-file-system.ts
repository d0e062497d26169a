/** Files whose traffic is counted: what reads or writes everything knows by it how far it is. */

import type { FileSystem } from '../storage/file-system.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import { systemCalls, type Transfer, type TransferSync } from '../storage/system-calls.ts';

export interface Traffic {
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** @param onTraffic Told after every read and write, with the sums so far. */
export function countingFileSystem(onTraffic: (traffic: Traffic) => void): FileSystem {
  const traffic = { readBytes: 0, writtenBytes: 0 };
  const noteFor = (field: keyof Traffic) => (bytes: number) => {
    traffic[field] += bytes;
    onTraffic(traffic);
  };
  const [noteRead, noteWritten] = [noteFor('readBytes'), noteFor('writtenBytes')];
  return new NodeFileSystem({
    calls: {
      ...systemCalls,
      read: counted(systemCalls.read, noteRead),
      write: counted(systemCalls.write, noteWritten),
      readSync: countedSync(systemCalls.readSync, noteRead),
      writeSync: countedSync(systemCalls.writeSync, noteWritten),
    },
  });
}

function counted(transfer: Transfer, note: (bytes: number) => void): Transfer {
  return (fd, bytes, at, length, offset, done) => {
    transfer(fd, bytes, at, length, offset, (error, moved) => {
      if (error === null) note(moved);
      done(error, moved);
    });
  };
}

function countedSync(transfer: TransferSync, note: (bytes: number) => void): TransferSync {
  return (fd, bytes, at, length, offset) => {
    const moved = transfer(fd, bytes, at, length, offset);
    note(moved);
    return moved;
  };
}

/** Bytes of the files in a directory; 0 when it is not there. */
export async function bytesIn(fs: FileSystem, dir: string): Promise<number> {
  if ((await fs.stat(dir)) === null) return 0;
  let bytes = 0;
  for (const name of await fs.list(dir)) bytes += (await fs.stat(`${dir}/${name}`))?.bytes ?? 0;
  return bytes;
}
