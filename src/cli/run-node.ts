/**
 * From a configuration to a running node with its ports, until it is stopped. Shared by `start` and `serve`,
 * which differ in what they tell: see {@link Narrator}.
 */

import type { Connection, ConnectionHandler } from '../network/connection.ts';
import { listenTcp } from '../network/tcp.ts';
import type { RecoveryProgress } from '../node/assemble.ts';
import type { NodeRecovery } from '../node/node.ts';
import { local, open } from '../node/open.ts';
import { nodeInfo } from '../server/node-info.ts';
import { type RedisServer, startRedisServer } from '../server/redis-server.ts';
import type { Config } from './config/schema.ts';
import { EXIT_CODES, exitCodeOf } from './exit-code.ts';

/** Signals closer together than this are one. */
const SAME_SIGNAL_MS = 500;

/** Is told what happens, and tells it to people or programs. */
export interface Narrator {
  /** While the state is brought back: before `listening`, and of the phase `state` also after it. */
  recovering(progress: RecoveryProgress): void;
  listening(listening: Listening): void;
  /** One that nobody waits for: who asked for it was answered before. */
  checkpointFailed(error: unknown): void;
  stopping(): void;
  /** @param warning What did not work out at the end, although all is safe; null when all did. */
  stopped(warning: string | null): void;
  /** The node stopped, and nobody asked it to. */
  failed(error: unknown): void;
}

export interface Listening {
  readonly host: string;
  readonly port: number;
  readonly dir: string;
  readonly recovery: NodeRecovery;
}

type KeyValueNode = Awaited<ReturnType<typeof open>>;

/** Resolves with the exit code when the node has stopped. */
export async function runNode(config: Config, narrator: Narrator): Promise<number> {
  await requireFreePort(config.redis);
  const node = await open({
    dir: config.dir,
    log: config.log,
    checkpoint: config.checkpoint,
    ordering: local(config.ordering),
    onProgress: (progress) => narrator.recovering(progress),
  });
  try {
    const server = await serve(node, config, narrator);
    narrator.listening({ host: server.host, port: server.port, dir: config.dir, recovery: node.recovery });
    onSignals(() => {
      narrator.stopping();
      void server.close().then(() => node.close());
    });
    const failure = await node.whenStopped();
    await server.close();
    if (failure !== null) {
      narrator.failed(failure);
      return exitCodeOf(failure);
    }
    const { failure: notTaken } = node.stats().checkpoints;
    narrator.stopped(notTaken === null ? null : `no last checkpoint: ${notTaken}`);
    return EXIT_CODES.done;
  } finally {
    await node.close();
  }
}

function serve(node: KeyValueNode, { redis }: Config, narrator: Narrator): Promise<RedisServer> {
  const { passwordFile: _, password = null, ...options } = redis;
  return startRedisServer({
    ...options,
    password,
    ordering: node.ordering,
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
          narrator.checkpointFailed(error);
          throw error;
        }
      },
    },
  });
}

/** A port that is taken is found out before a data directory is made or recovered. */
async function requireFreePort({ host, port }: Config['redis']): Promise<void> {
  if (port === 0) return;
  const probe = await listenTcp({ host, port, onConnection: turnAway });
  await probe.close();
}

function turnAway(connection: Connection): ConnectionHandler {
  connection.destroy();
  return { data: nothing, flushed: nothing, ended: nothing, closed: nothing };
}

function nothing(): void {}

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
