/** The first segment of a log, for a data directory that is being made. */

import { NO_BYTES } from '../base/bytes.ts';
import type { Chance } from '../base/chance.ts';
import { type Index, type Term, type Timeline, toIndex, toTerm, toTimeline } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { type Identity, NO_SEGMENT, SEGMENT_HEADER_BYTES, segmentName } from './segment.ts';
import { makeSegment } from './segment-file.ts';
import { Spares } from './spares.ts';

/** Sequence of the segment that `createLog` makes. */
export const FIRST_SEQUENCE = 1;

export const FIRST_SEGMENT_NAME = segmentName({ timeline: toTimeline(1), firstIndex: toIndex(1) });

export interface CreateLogInput {
  readonly fs: FileSystem;
  readonly dataDir: string;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly segmentBytes: number;
  /** What the log goes on from; entry 1 of timeline 1 is the first when it is left out. */
  readonly start?: LogStart;
}

/** Where a log begins that goes on from a state of another. */
export interface LogStart {
  readonly timeline: Timeline;
  readonly firstIndex: Index;
  /** Of the entry before. */
  readonly previousTerm: Term;
  readonly previousTime: number;
}

const FIRST: LogStart = {
  timeline: toTimeline(1),
  firstIndex: toIndex(1),
  previousTerm: toTerm(0),
  previousTime: 0,
};

/** Makes `log/` with one empty segment that waits for its first entry. Durable when it resolves. */
export async function createLog(input: CreateLogInput): Promise<void> {
  const { fs, dataDir, identity, clock, chance, segmentBytes } = input;
  const dir = `${dataDir}/log`;
  await fs.makeDirectory(dir);
  await fs.syncDirectory(dataDir);
  // Nothing is made in the background: `take` makes the one that is needed.
  const spares = new Spares({
    fs,
    dir,
    segmentBytes,
    clock,
    onFailure: () => undefined,
    onEvent: () => undefined,
  });
  const { clusterId, nodeId, incarnation } = identity;
  const header = {
    clusterId,
    nodeId,
    incarnation,
    ...(input.start ?? FIRST),
    sequence: FIRST_SEQUENCE,
    id: Buffer.from(chance.fill(new Uint8Array(8))).toString('hex'),
    previousId: NO_SEGMENT,
    previousEnd: 0,
    previousCrc: 0,
    provenTo: SEGMENT_HEADER_BYTES,
  };
  const spare = await spares.take(segmentBytes);
  const { file } = await makeSegment({ fs, dir, clock }, spare, header, NO_BYTES);
  await file.close();
}
