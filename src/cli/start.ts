/** `tidemark start`: a node with a Redis port, until Ctrl-C. */

import type { Connection, ConnectionHandler } from '../network/connection.ts';
import { listenTcp } from '../network/tcp.ts';
import { open } from '../node/open.ts';
import { nodeInfo } from '../server/node-info.ts';
import { startRedisServer } from '../server/redis-server.ts';
import { EXIT_CODES, exitCodeOf } from './exit-code.ts';
import { formatBytes, print, printError } from './output.ts';

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
    });
    announce(options, server, node.recovery);
    onSignals(() => void server.close().then(() => node.close()));
    const failure = await node.whenStopped();
    await server.close();
    if (failure === null) {
      if (!options.json) print('stopped; everything acknowledged is on disk');
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
  const { isNew, lastIndex, commandsReplayed, tookMs, bytesDiscarded } = recovery;
  const found = isNew
    ? `made ${options.dir}`
    : `recovered ${commandsReplayed.toLocaleString('en')} commands in ` +
      `${lastIndex.toLocaleString('en')} entries from ${options.dir} in ${Math.round(tookMs)} ms`;
  print(`tidemark: ${found}`);
  if (bytesDiscarded > 0)
    print(`tidemark: discarded ${formatBytes(bytesDiscarded)} of a write nobody was promised`);
  for (const warning of recovery.warnings) print(`tidemark: warning: ${warning}`);
  print(`tidemark: ready; Redis protocol on ${host}:${port}, process ${process.pid}`);
  print('');
  print(`  redis-cli -p ${port} SET greeting hello    every OK is on disk before you see it`);
  print(`  kill -9 ${process.pid}                           and start again: it is still there`);
  print('  Ctrl-C                                     stops cleanly');
  print('');
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
