/** The public surface of `tidemark/testing`: what Tidemark is tested with, for your machines and doors. */

export { type CommandAcknowledged, type CommandApplied, CommandLedger } from './checkers/command-ledger.ts';
export { type ConservedTotalOptions, checkConservedTotal } from './checkers/conserved-total.ts';
export { EqualRoots, type RootObserved } from './checkers/equal-roots.ts';
export { type CommandAt, checkLocalReads, type ReadAt } from './checkers/local-reads.ts';
export { type EntryObserved, LogMatching } from './checkers/log-matching.ts';
export { type LeaderObserved, OneLeaderPerTerm } from './checkers/one-leader-per-term.ts';
export { type LifeObserved, RecoveryTerminates } from './checkers/recovery-terminates.ts';
export { type ReadSeen, SessionGuarantees, type WriteSeen } from './checkers/session-guarantees.ts';
export {
  type AppliedObserved,
  type RestoredObserved,
  StateMachineSafety,
} from './checkers/state-machine-safety.ts';
export type { Violation } from './checkers/violation.ts';
export type { CrashImageOptions } from './crash-choices.ts';
export { EventTrace } from './event-trace.ts';
export {
  FaultCounts,
  type FaultSummary,
  FaultTable,
  type FaultTotals,
  shownFaults,
} from './fault-counts.ts';
export {
  type FileSystemSuite,
  type RegisterTest,
  registerFileSystemSuite,
  type SuiteSubject,
} from './file-system-suite.ts';
export { assembleHistory, mergeHistories } from './history/assemble-history.ts';
export { decodeHistory, type HistoryEvent, type RecordedHistory } from './history/history-lines.ts';
export { HistoryRecorder, type RecorderOptions } from './history/history-recorder.ts';
export type { CommandIdentity, Json, Operation, Outcome } from './history/operation.ts';
export {
  checkLinearizability,
  type Linearizability,
  type LinearizabilityOptions,
} from './linearizability/check-linearizability.ts';
export { drawUnorderable } from './linearizability/diagram.ts';
export type { Unorderable } from './linearizability/explain.ts';
export { judgeLinearizability } from './linearizability/judge-linearizability.ts';
export { type KeyValueState, keyValueModel } from './linearizability/key-value-model.ts';
export type { Model, Step } from './linearizability/model.ts';
export { type ObjectKind, type Objects, objectModel } from './linearizability/object-model.ts';
export { counterModel, listModel, registerModel, setModel } from './linearizability/object-models.ts';
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
export {
  drawNetworkFaults,
  EPISODE_FAULTS,
  type EpisodeFault,
  FRAME_FAULTS,
  type FrameFault,
  type NetworkFault,
  type NetworkFaultMix,
} from './network-faults.ts';
export {
  type PeerNetworkSuite,
  type PeerSuiteSubject,
  registerPeerNetworkSuite,
  type SuiteReplica,
} from './peer-network-suite.ts';
export {
  type RunSeedsOptions,
  runSeeds,
  type SeedFailure,
  type SeedsProgress,
  type SeedsSummary,
  type SimulationModule,
  shownFailure,
  shownSummary,
} from './run-seeds.ts';
export { SeededRandom } from './seeded-random.ts';
export { SimulatedClock } from './simulated-clock.ts';
export type { SimulatedLatency } from './simulated-fabric.ts';
export { SimulatedNetwork, type SimulatedNetworkInit, type SimulatedReplica } from './simulated-network.ts';
export type { SimulatedPeers } from './simulated-peers.ts';
export type { Focus, Simulate, SimulationReport } from './simulation-report.ts';
export { type FaultKind, Swarm } from './swarm.ts';
export { auditedBalances } from './workload/call-source.ts';
export {
  type RunningWorkload,
  runWorkload,
  type WorkloadDoors,
  type WorkloadReply,
  type WorkloadRequest,
} from './workload/run-workload.ts';
export { WORKLOAD_DEFAULTS, type WorkloadAction, type WorkloadOptions } from './workload/workload-options.ts';
