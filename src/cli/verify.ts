/** `tidemark verify`: reads everything in a data directory and checks it. Changes nothing, takes no lock. */

import { isTidemarkError } from '../base/errors.ts';
import { type Index, laterOf, toIndex } from '../base/positions.ts';
import { systemClock } from '../base/time.ts';
import { CHECKPOINTS_DIR } from '../checkpoint/checkpoint-name.ts';
import { type FoundCheckpoint, surveyCheckpoints } from '../checkpoint/survey-checkpoints.ts';
import { readTags } from '../checkpoint/tags.ts';
import { bytesOfFiles, verifyCheckpoints } from '../checkpoint/verify-checkpoints.ts';
import { decodeActivation } from '../engine/activation.ts';
import { forEachCommand } from '../engine/entry.ts';
import { decodeRewind } from '../engine/rewind-entry.ts';
import { isReplayable, readLog } from '../log/read-log.ts';
import type { LogRecord } from '../log/segment-reader.ts';
import { readStatus } from '../log/status.ts';
import type { Status } from '../log/status-content.ts';
import type { LogFinding } from '../log/verify-segment.ts';
import { requireSameHistory } from '../node/restore.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { bytesIn, countingFileSystem } from './counting-file-system.ts';
import { EXIT_CODES } from './exit-code.ts';
import { count, formatBytes, print } from './output.ts';
import { paint } from './paint.ts';
import { Progress } from './progress.ts';

export async function verify(dir: string, json: boolean): Promise<number> {
  const progress = new Progress('verifying', 'bytes');
  let bytesToRead = 0;
  const fs = countingFileSystem(({ readBytes }) => {
    if (bytesToRead > 0) progress.update(readBytes, bytesToRead);
  });
  const started = performance.now();
  const { status, copies } = await readStatus(fs, dir);
  const findings: LogFinding[] = copies
    .filter((copy) => copy.verdict !== 'newest')
    .map(({ copy, verdict }) =>
      warning(`${dir}/status`, `copy ${copy} of the status is ${verdict}; the next start repairs it`),
    );
  const survey = await orFinding(findings, () => surveyCheckpoints(fs, dir, status.clusterId));
  for (const file of survey?.misplaced ?? [])
    findings.push(warning(file, 'a directory, where a file belongs'));
  const checkpoints = survey?.checkpoints ?? [];
  bytesToRead = await estimateBytes(fs, dir, checkpoints);
  const read: ReadEntries = { segments: 0, entries: 0, commands: 0, bytes: 0, lastIndex: 0, isMixed: false };
  const isRead = await orFinding(findings, async () => {
    await readEntries(fs, dir, { status, checkpoints, findings, read });
    return true;
  });
  const checked = survey === null ? NONE_CHECKED : await checkCheckpoints(fs, dir, { status, findings });
  findings.push(...(await checkTags(fs, dir, status)));
  const { lastIndex, isMixed, ...counted } = read;
  const missing = isRead && missingState(dir, status, checked.newest, lastIndex);
  if (missing) findings.push(missing);
  const ok = !findings.some((finding) => finding.kind === 'damage');
  const isUsable = survey !== null && !isMixed;
  const recoverable = ok || (isUsable && (await isRecoverable(fs, dir, { status, newest: checked.newest })));
  const report: Report = {
    ok,
    recoverable,
    dir,
    ...counted,
    bytes: counted.bytes + checked.bytes,
    checkpoints: checked.checkpoints,
    findings,
    tookMs: Math.round(performance.now() - started),
  };
  progress.end();
  if (json) print(JSON.stringify(report));
  else printReport(report);
  if (ok) return EXIT_CODES.done;
  return recoverable ? EXIT_CODES.repair : EXIT_CODES.restore;
}

function warning(file: string, message: string): LogFinding {
  return { kind: 'warning', file, offset: null, message };
}

/** Where not even the list of files can be trusted, that is a finding; the rest is verified all the same. */
async function orFinding<Result>(
  findings: LogFinding[],
  read: () => Promise<Result>,
): Promise<Result | null> {
  try {
    return await read();
  } catch (error) {
    const isDamage =
      isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED') || isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED');
    if (!isDamage) throw error;
    const { message, facts } = error;
    findings.push({ kind: 'damage', file: String(facts['file']), offset: null, message });
    return null;
  }
}

/** What was read of the log, as far as it could be. */
interface ReadEntries {
  segments: number;
  entries: number;
  commands: number;
  bytes: number;
  lastIndex: number;
  /** Whether a checkpoint is of another history. */
  isMixed: boolean;
}

async function readEntries(
  fs: FileSystem,
  dir: string,
  {
    status,
    checkpoints,
    findings,
    read,
  }: {
    readonly status: Status;
    readonly checkpoints: readonly FoundCheckpoint[];
    readonly findings: LogFinding[];
    readonly read: ReadEntries;
  },
): Promise<void> {
  await readLog(fs, dir, status, {
    segment() {
      read.segments++;
    },
    record(record) {
      read.bytes += record.endOffset - record.offset;
      if (record.type === 'mark') return;
      read.entries++;
      read.lastIndex = record.index;
      for (const found of checkpoints) {
        if (found.info.index === record.index) read.isMixed ||= noteHistory(found, record, findings);
      }
      if (record.type === 'activation') decodeActivation(record.body);
      else if (record.type === 'rewind') decodeRewind(record.body);
      else read.commands += forEachCommand(record.body, () => undefined);
    },
    finding: (finding) => findings.push(finding),
  });
}

/** Every file of checkpoints is read twice: by checksum, then node by node. */
async function estimateBytes(
  fs: FileSystem,
  dir: string,
  checkpoints: readonly FoundCheckpoint[],
): Promise<number> {
  const isThere = (await fs.stat(`${dir}/log`))?.kind === 'directory';
  return 2 * bytesOfFiles(checkpoints) + (isThere ? await bytesIn(fs, `${dir}/log`) : 0);
}

interface Report {
  readonly ok: boolean;
  /** Whether a start brings everything acknowledged back all the same, from an older checkpoint. */
  readonly recoverable: boolean;
  readonly dir: string;
  readonly segments: number;
  readonly entries: number;
  readonly commands: number;
  readonly checkpoints: number;
  readonly bytes: number;
  readonly findings: readonly LogFinding[];
  readonly tookMs: number;
}

/** Whether a checkpoint and a log that are whole are of two histories: that is a finding. */
function noteHistory(found: FoundCheckpoint, entry: LogRecord, findings: LogFinding[]): boolean {
  try {
    requireSameHistory(found, entry);
    return false;
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    findings.push({ kind: 'damage', file: found.path, offset: null, message: error.message });
    return true;
  }
}

/** What a start would lack although everything that is there is whole; null for nothing. */
function missingState(
  dir: string,
  { firstIndex }: Status,
  newest: Index | null,
  lastIndex: number,
): LogFinding | null {
  const finding = (file: string, message: string): LogFinding => ({
    kind: 'damage',
    file: `${dir}/${file}`,
    offset: null,
    message,
  });
  if (newest === null && firstIndex > 1) {
    return finding('checkpoints', `no checkpoint can be used, and the log begins at entry ${firstIndex}`);
  }
  if (newest === null || newest <= lastIndex || newest === firstIndex - 1) return null;
  return finding('log', `a checkpoint has entry ${newest}, and the log ends at ${lastIndex}`);
}

/** Whether the checkpoint that a start would use, and the log that it would read, are whole. */
async function isRecoverable(
  fs: FileSystem,
  dir: string,
  { status, newest }: { readonly status: Status; readonly newest: Index | null },
): Promise<boolean> {
  if (newest === null && status.firstIndex > 1) return false;
  return isReplayable(fs, dir, status, newest ?? toIndex(0));
}

interface CheckedCheckpoints {
  /** Those that are whole. */
  readonly checkpoints: number;
  readonly bytes: number;
  /** Index of the newest whole one that the log reaches back to; null when there is none. */
  readonly newest: Index | null;
}

const NONE_CHECKED: CheckedCheckpoints = { checkpoints: 0, bytes: 0, newest: null };

/** Adds what is damaged to `findings`. */
async function checkCheckpoints(
  fs: FileSystem,
  dir: string,
  { status, findings }: { readonly status: Status; readonly findings: LogFinding[] },
): Promise<CheckedCheckpoints> {
  const { clusterId, firstIndex } = status;
  let [checkpoints, bytes] = [0, 0];
  let newest: Index | null = null;
  for await (const verdict of verifyCheckpoints({ fs, clock: systemClock }, dir, clusterId)) {
    if (verdict.kind === 'damaged') {
      const { file, offset, reason: message } = verdict.damage;
      findings.push({ kind: 'damage', file, offset, message });
      continue;
    }
    checkpoints++;
    bytes += verdict.walked.bytes;
    const { index } = verdict.found.info;
    if (index >= firstIndex - 1) newest = laterOf(index, newest ?? index);
    for (const { file, offset, reason } of verdict.warnings) {
      const message = `${reason}, in nothing that ${verdict.found.path} needs`;
      findings.push({ kind: 'warning', file, offset, message });
    }
  }
  return { checkpoints, bytes, newest };
}

/** A tag that cannot be read may keep any checkpoint alive: none is removed any more. */
async function checkTags(fs: FileSystem, dir: string, { clusterId }: Status): Promise<LogFinding[]> {
  const { damages } = await readTags(fs, `${dir}/${CHECKPOINTS_DIR}`, clusterId);
  return damages.map(({ file, reason }) => ({
    kind: 'damage',
    file,
    offset: null,
    message: `the tag cannot be used: ${reason}; no checkpoint is removed until it is gone or mended`,
  }));
}

function printReport(report: Report): void {
  const { ok, recoverable, dir, findings, tookMs } = report;
  for (const { kind, file, offset, message } of findings) {
    const style = kind === 'damage' ? 'red' : 'yellow';
    const place = offset === null ? file : `${file}:${offset}`;
    print(`${paint(style, kind, process.stdout)}: ${place}: ${message}`);
  }
  const verdict = ok ? paint('green', 'whole', process.stdout) : paint('red', 'DAMAGED', process.stdout);
  const { segments, entries, commands, checkpoints, bytes } = report;
  print(
    `${verdict}: ${dir}: ${count(commands, 'command')} in ` +
      `${count(entries, 'entry', 'entries')}, ${count(segments, 'segment')}, ` +
      `${count(checkpoints, 'checkpoint')}, ${formatBytes(bytes)} verified in ${tookMs} ms`,
  );
  if (ok) return;
  print(
    recoverable
      ? 'Everything acknowledged is there: a start uses what is whole, and sets damaged checkpoints aside.'
      : 'Copy the directory before anything else; then bring the named files back from a copy.',
  );
}
