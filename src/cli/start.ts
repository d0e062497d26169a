/** `tidemark start`: a node with a Redis port, until Ctrl-C. */

import type { Connection, ConnectionHandler } from '../network/connection.ts';
import { listenTcp } from '../network/tcp.ts';
import { MEMORY_DIR, open } from '../node/open.ts';
import { nodeInfo } from '../server/node-info.ts';
import { startRedisServer } from '../server/redis-server.ts';
import { EXIT_CODES, exitCodeOf } from './exit-code.ts';
import { count, formatBytes, print, printError, table } from './output.ts';

const STOPPED = 'stopped; everything acknowledged is on disk';

/** Signals closer together than this are one. */
const SAME_SIGNAL_MS = 500;

export interface StartOptions {
  readonly dir: string;
  readonly host: string;
  readonly port: number;
  readonly segmentBytes?: number;
  readonly json: boolean;
}

/** Resolves with the exit code when the node has stopped. */
export async function start(options: StartOptions): Promise<number> {
  await requireFreePort(options);
  const log = options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes };
  const node = await open({ dir: options.dir, log });
  try {
    const server = await startRedisServer({
      ordering: node.ordering,
      host: options.host,
      port: options.port,
      info: () => nodeInfo(node),
      checkpoints: {
        get isTaking() {
          return node.stats().checkpoints.isTaking;
        },
        get lastTakenAt() {
          return node.lastCheckpointAt;
        },
        async take() {
          try {
            return { ...(await node.checkpoint()) };
          } catch (error) {
            printError(error, options.json ? 'json' : 'text'); // BGSAVE has nobody else to tell.
            throw error;
          }
        },
      },
    });
    announce(options, server, node.recovery);
    onSignals(() => {
      if (!options.json && options.dir !== MEMORY_DIR) print('stopping; a last checkpoint is taken');
      void server.close().then(() => node.close());
    });
    const failure = await node.whenStopped();
    await server.close();
    if (failure === null) {
      const { failure: notTaken } = node.stats().checkpoints;
      if (notTaken !== null && !options.json) print(`tidemark: warning: no last checkpoint: ${notTaken}`);
      if (!options.json) print(options.dir === MEMORY_DIR ? 'stopped' : STOPPED);
      return EXIT_CODES.done;
    }
    printError(failure, options.json ? 'json' : 'text');
    return exitCodeOf(failure);
  } finally {
    await node.close();
  }
}

/** A port that is taken is found out before a data directory is made or recovered. */
async function requireFreePort({ host, port }: StartOptions): Promise<void> {
  if (port === 0) return;
  const probe = await listenTcp({ host, port, onConnection: turnAway });
  await probe.close();
}

function turnAway(connection: Connection): ConnectionHandler {
  connection.destroy();
  return { data: nothing, flushed: nothing, ended: nothing, closed: nothing };
}

function nothing(): void {}

interface Announced {
  readonly host: string;
  readonly port: number;
}

type Recovery = Awaited<ReturnType<typeof open>>['recovery'];

function announce(options: StartOptions, { host, port }: Announced, recovery: Recovery): void {
  if (options.json) {
    print(JSON.stringify({ event: 'listening', host, port, dir: options.dir, pid: process.pid, recovery }));
    return;
  }
  const isKept = options.dir !== MEMORY_DIR;
  print(`tidemark: ${isKept ? describeRecovery(options.dir, recovery) : 'everything stays in memory'}`);
  if (recovery.bytesDiscarded > 0) {
    print(`tidemark: discarded ${formatBytes(recovery.bytesDiscarded)} of a write that never finished`);
  }
  for (const warning of recovery.warnings) print(`tidemark: warning: ${warning}`);
  print(`tidemark: ready; Redis protocol on ${host}:${port}, process ${process.pid}`);
  const hints = [
    [`redis-cli -p ${port} SET greeting hello`, isKept ? 'every OK is on disk before you see it' : ''],
    [`kill -9 ${process.pid}`, isKept ? 'and start again: it is still there' : 'and everything is gone'],
    ['Ctrl-C', 'stops cleanly'],
  ];
  print(`\n${table(hints).replace(/^/gm, '  ')}\n`);
}

function describeRecovery(dir: string, recovery: Recovery): string {
  const { isNew, checkpoint, entriesReplayed, commandsReplayed, tookMs } = recovery;
  if (isNew) return `made ${dir}`;
  const commands = count(commandsReplayed, 'command');
  const entries = count(entriesReplayed, 'entry', 'entries');
  const state = checkpoint === null ? '' : `the checkpoint of entry ${checkpoint.index} and `;
  return `recovered ${state}${commands} in ${entries} from ${dir} in ${Math.round(tookMs)} ms`;
}

/**
 * The first signal stops cleanly; another, for the impatient, at once: that is as safe. Ctrl-C under npm
 * comes twice, from the terminal and from npm: what follows at once is the same signal.
 */
function onSignals(stop: () => void): void {
  let firstAt: number | null = null;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (firstAt === null) {
        firstAt = performance.now();
        stop();
      } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
        process.exit(EXIT_CODES.retry);
      }
    });
  }
}
