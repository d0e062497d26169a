/** The public surface of `tidemark/testing`: what Tidemark is tested with, for your machines and doors. */

export type { CrashImageOptions } from './crash-choices.ts';
export {
  type FileSystemSuite,
  type RegisterTest,
  registerFileSystemSuite,
  type SuiteSubject,
} from './file-system-suite.ts';
export {
  type CompletionOrder,
  type CrashEffect,
  type HeldSync,
  SimulatedCrash,
} from './lossy-calls.ts';
export type { Filling } from './lossy-disk.ts';
export type { Fault, FaultOdds, IoCall, IoOperation } from './lossy-faults.ts';
export { type CrashImage, type Damage, LossyFileSystem, type LossyOptions } from './lossy-file-system.ts';
export { ManualClock } from './manual-clock.ts';
export { MemoryNetwork, type MemoryPeer } from './memory-network.ts';
export { SeededRandom } from './seeded-random.ts';
