/** The part of fs-native-extensions that node-file-system.ts uses; the package ships no types. */

declare module 'fs-native-extensions' {
  /** Takes an exclusive lock on the whole open file, or returns false at once while another holds it. */
  export function tryLock(fd: number): boolean;
  export function unlock(fd: number): void;
}
