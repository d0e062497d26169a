/**
 * Survey: which files of the log's directory are the log. Reads headers, changes nothing.
 *
 * Rules (docs/format.md §2.3), each with the checklist line it answers:
 *  - What a file is, its header says. One whose header asks for another name is a copy, and not part of the
 *    log: a copy may be older than what it was copied from.
 *  - The tail is the segment with the highest sequence; the log is the chain of predecessors from there.
 *  - A segment off the chain is left over: from a truncation that committed, or from a compaction (D3).
 *  - The status names a segment that must exist, and the first index that must be there. A tail older than
 *    that, or a chain that breaks before, is missing data (D1, D2). A newer tail is adopted (E5).
 *  - A file whose header is unreadable matters only if the chain is not whole without it (D6).
 *  - A file of another cluster, node or incarnation, or of a newer format, stops everything (D4).
 */

import { TidemarkError } from '../base/errors.ts';
import type { Index } from '../base/positions.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { damagedLog } from './damage.ts';
import { type Identity, isSegmentName, NO_SEGMENT, type SegmentHeader, segmentName } from './segment.ts';
import { isSparseIndexName, readSegmentHeader, type Segment } from './segment-file.ts';
import { isSpareName } from './spares.ts';

/** What the status says about the log. */
export interface LogPromise {
  /** First index that the log must still hold. */
  readonly firstIndex: Index;
  /** Sequence of the newest segment that may hold acknowledged entries. */
  readonly segmentSequence: number;
}

/** A sealed segment: its successor says where it ends. */
export interface SealedSegment extends Segment {
  readonly end: number;
}

export interface Survey {
  /** Oldest first; all but the tail. */
  readonly sealed: readonly SealedSegment[];
  readonly tail: Segment;
  /** Intact segments that are no longer part of the log: to be removed. */
  readonly leftovers: readonly string[];
  /** Files that bear a segment's name and are not one: to be quarantined. */
  readonly unreadable: readonly { readonly path: string; readonly reason: string }[];
  readonly spares: readonly string[];
  /** Names that Tidemark does not know: left alone, with a warning (D5). */
  readonly unknown: readonly string[];
  /** Highest sequence seen in any header. */
  readonly sequenceMax: number;
}

interface Found {
  readonly segments: Segment[];
  readonly unreadable: { path: string; reason: string }[];
  readonly spares: string[];
  readonly unknown: string[];
}

export async function surveyLog(
  fs: FileSystem,
  dir: string,
  identity: Identity,
  promise: LogPromise,
): Promise<Survey> {
  const found = await readHeaders(fs, dir, identity);
  const tail = found.segments.reduce<Segment | null>(
    (best, segment) => (best === null || segment.header.sequence > best.header.sequence ? segment : best),
    null,
  );
  if (tail === null || tail.header.sequence < promise.segmentSequence)
    throw missingTail(dir, tail, promise, found);
  const chain = followChain(tail, found.segments);
  const oldest = chain[0] ?? tail;
  if (oldest.header.firstIndex > promise.firstIndex) throw missingSegment(dir, oldest.header, promise, found);

  // Wholly compacted segments that a crash left in front of the log.
  const all = [...chain, tail];
  const firstKept = all.findIndex(
    (_segment, at) => at === all.length - 1 || all[at + 1]!.header.firstIndex > promise.firstIndex,
  );
  const kept = new Set(all.slice(firstKept).map((segment) => segment.path));
  return {
    sealed: chain.slice(firstKept),
    tail,
    leftovers: found.segments.map((segment) => segment.path).filter((path) => !kept.has(path)),
    unreadable: found.unreadable,
    spares: found.spares,
    unknown: found.unknown,
    sequenceMax: tail.header.sequence,
  };
}

async function readHeaders(fs: FileSystem, dir: string, identity: Identity): Promise<Found> {
  const found: Found = { segments: [], unreadable: [], spares: [], unknown: [] };
  const kind = (await fs.stat(dir))?.kind;
  if (kind !== 'directory') {
    const what = kind === undefined ? 'is missing' : 'is no directory';
    throw damagedLog(`${dir} ${what}, and with it every entry of the log is gone`, { file: dir });
  }
  for (const name of await fs.list(dir)) {
    const path = `${dir}/${name}`;
    const isOurs = isSpareName(name) || isSegmentName(name) || isSparseIndexName(name);
    if (!isOurs || (await fs.stat(path))?.kind === 'directory') found.unknown.push(name);
    else if (isSpareName(name)) found.spares.push(name);
    else if (isSegmentName(name)) await readOneHeader(fs, path, name, identity, found);
  }
  return found;
}

async function readOneHeader(
  fs: FileSystem,
  path: string,
  name: string,
  identity: Identity,
  found: Found,
): Promise<void> {
  const file = await fs.open(path, 'read');
  try {
    const decoded = await readSegmentHeader(file);
    if (decoded.kind === 'newer') throw newerFormat(path, decoded.version);
    if (decoded.kind === 'invalid') {
      found.unreadable.push({ path, reason: `segment header: ${decoded.reason}` });
      return;
    }
    const { header } = decoded;
    checkOwner(path, header, identity);
    if (segmentName(header) === name) found.segments.push({ header, path });
    else
      found.unreadable.push({ path, reason: `a copy of segment ${segmentName(header)} under another name` });
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.code !== 'TIDEMARK_IO') throw error;
    found.unreadable.push({ path, reason: error.message });
  } finally {
    await file.close();
  }
}

/** The predecessors of `tail`, oldest first, each with its end; ends where one is missing. */
function followChain(tail: Segment, segments: readonly Segment[]): SealedSegment[] {
  const byId = new Map(segments.map((segment) => [segment.header.id, segment]));
  const chain: SealedSegment[] = [];
  let { header } = tail;
  while (header.previousId !== NO_SEGMENT) {
    const previous = byId.get(header.previousId);
    // Sequences fall along the chain, so that no cycle can be built from damaged or forged headers.
    if (previous === undefined || previous.header.sequence >= header.sequence) break;
    chain.unshift({ ...previous, end: header.previousEnd });
    header = previous.header;
  }
  return chain;
}

function checkOwner(path: string, header: SegmentHeader, identity: Identity): void {
  const isOurs =
    header.clusterId === identity.clusterId &&
    header.nodeId === identity.nodeId &&
    header.incarnation === identity.incarnation;
  if (isOurs) return;
  throw new TidemarkError(
    'TIDEMARK_FOREIGN_FILE',
    `${path} belongs to cluster ${header.clusterId}, node ${header.nodeId}, incarnation ` +
      `${header.incarnation}; this node is cluster ${identity.clusterId}, node ${identity.nodeId}, ` +
      `incarnation ${identity.incarnation}. Nothing was changed; move the file out of the log's directory`,
    { remedy: 'repair', facts: { file: path, clusterId: header.clusterId, nodeId: header.nodeId } },
  );
}

function newerFormat(path: string, version: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_FORMAT_NEWER',
    `${path} has log format ${version}, which this version of Tidemark does not know. Nothing was changed; ` +
      'start the version that wrote it, or a later one',
    { remedy: 'fix-call', facts: { file: path, version } },
  );
}

function missingTail(dir: string, tail: Segment | null, promise: LogPromise, found: Found): TidemarkError {
  const newest =
    tail === null ? 'there is none' : `the newest is ${tail.path}, number ${tail.header.sequence}`;
  const suspect = found.unreadable[0];
  return damagedLog(
    `the newest segment of ${dir} is missing or unreadable: segment number ${promise.segmentSequence} may ` +
      `hold acknowledged entries, but ${newest}${suspicion(suspect)}`,
    { file: suspect?.path ?? dir, segmentSequence: promise.segmentSequence },
  );
}

function missingSegment(
  dir: string,
  oldest: SegmentHeader,
  promise: LogPromise,
  found: Found,
): TidemarkError {
  const suspect = found.unreadable[0];
  return damagedLog(
    `entries ${promise.firstIndex} to ${oldest.firstIndex - 1} are missing: no readable segment ` +
      `of ${dir} precedes ${segmentName(oldest)}${suspicion(suspect)}`,
    { file: suspect?.path ?? dir, firstLost: promise.firstIndex, lastLost: oldest.firstIndex - 1 },
  );
}

function suspicion(suspect: Found['unreadable'][number] | undefined): string {
  return suspect === undefined ? '' : `; ${suspect.path} cannot be read (${suspect.reason})`;
}
