/** System calls that move fewer bytes than asked and are interrupted, from a seed; all else is real. */

import { type SystemCalls, systemCalls } from '../../src/storage/system-calls.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';

export function shortSystemCalls(seed: number): SystemCalls {
  const random = new SeededRandom(seed);
  const shorten = (length: number): number => {
    if (random.happens(0.3)) throw interruption(random.pick(['EINTR', 'EAGAIN']));
    return random.happens(0.5) ? 1 + random.below(length) : Math.min(length, 1 + random.below(5000));
  };
  const transfer = (operation: 'read' | 'write'): SystemCalls['read'] => {
    return (fd, bytes, at, length, offset, done) => {
      let shortened: number;
      try {
        shortened = shorten(length);
      } catch (error) {
        setImmediate(done, error as Error, 0);
        return;
      }
      systemCalls[operation](fd, bytes, at, shortened, offset, done);
    };
  };
  const transferSync = (operation: 'readSync' | 'writeSync'): SystemCalls['readSync'] => {
    return (fd, bytes, at, length, offset) => {
      return systemCalls[operation](fd, bytes, at, shorten(length), offset);
    };
  };
  return {
    ...systemCalls,
    read: transfer('read'),
    write: transfer('write'),
    readSync: transferSync('readSync'),
    writeSync: transferSync('writeSync'),
  };
}

export function interruption(code: string): Error {
  return Object.assign(new Error(code), { code });
}
