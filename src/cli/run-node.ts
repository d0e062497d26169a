/**
 * From a configuration to a running node with its ports, until it is stopped. Shared by `start` and `serve`,
 * which differ in what they tell: see {@link Narrator}.
 */

import { buffered, type DurabilityChoice } from '../log/durability.ts';
import type { Connection, ConnectionHandler } from '../network/connection.ts';
import { listenTcp } from '../network/tcp.ts';
import type { RecoveryProgress } from '../node/assemble.ts';
import type { NodeEvent } from '../node/events.ts';
import type { NodeRecovery } from '../node/node.ts';
import { local, open } from '../node/open.ts';
import type { HttpServer } from '../server/http-server.ts';
import { nodeInfo } from '../server/node-info.ts';
import { type RedisServer, startRedisServer } from '../server/redis-server.ts';
import { servedCheckpoints } from '../server/served-checkpoints.ts';
import { servedHistory } from '../server/served-history.ts';
import { checkpointOptionsOf } from './config/checkpoints.ts';
import type { Config } from './config/schema.ts';
import { EXIT_CODES, exitCodeOf } from './exit-code.ts';

/** Signals closer together than this are one. */
const SAME_SIGNAL_MS = 500;

/** Is told what happens, and tells it to people or programs. */
export interface Narrator {
  opening(dir: string): void;
  /** While the state is brought back: before `listening`, and of the phase `state` also after it. */
  recovering(progress: RecoveryProgress): void;
  listening(listening: Listening): void;
  /** Between `listening` and `stopped`; the beginning and the end of the stop are told by themselves. */
  happened(event: NodeEvent): void;
  stopping(): void;
  stopped(): void;
  /** The node could not be opened, or stopped, and nobody asked it to. */
  failed(error: unknown): void;
}

export interface Listening {
  readonly host: string;
  readonly port: number;
  /** The port for monitors; null when there is none. */
  readonly http: { readonly host: string; readonly port: number } | null;
  readonly dir: string;
  readonly recovery: NodeRecovery;
}

type KeyValueNode = Awaited<ReturnType<typeof open>>;

/** Resolves with the exit code when the node has stopped. */
export async function runNode(config: Config, narrator: Narrator): Promise<number> {
  let http: HttpServer | null = null;
  try {
    await requireFreePort(config.redis);
    http = await startHttp(config.http);
    return await run(config, narrator, http);
  } catch (error) {
    narrator.failed(error);
    return exitCodeOf(error);
  } finally {
    await http?.close();
  }
}

/** It answers before the recovery begins, and is loaded only when it is wanted. */
async function startHttp({ host, port }: Config['http']): Promise<HttpServer | null> {
  if (port === undefined) return null;
  const { startHttpServer } = await import('../server/http-server.ts');
  return startHttpServer({ host, port });
}

async function run(config: Config, narrator: Narrator, http: HttpServer | null): Promise<number> {
  narrator.opening(config.dir);
  const node = await openNode(config, narrator, http);
  try {
    const events = node.events();
    const server = await serve(node, config);
    http?.watch(node, server);
    const { host, port } = server;
    const monitored = http && { host: http.host, port: http.port };
    // Before anybody hears that it runs, and may end it.
    onSignals(() => {
      narrator.stopping();
      http?.stopping();
      void server.close().then(() => node.close());
    });
    narrator.listening({ host, port, http: monitored, dir: config.dir, recovery: node.recovery });
    const told = tellAll(events, narrator);
    const failure = await node.whenStopped();
    await Promise.all([server.close(), told]);
    if (failure !== null) throw failure;
    narrator.stopped();
    return EXIT_CODES.done;
  } finally {
    await node.close();
  }
}

function openNode(config: Config, narrator: Narrator, http: HttpServer | null): Promise<KeyValueNode> {
  return open({
    dir: config.dir,
    log: config.log,
    durability: durabilityOf(config.durability),
    checkpoint: checkpointOptionsOf(config),
    scrub: config.scrub,
    ordering: local(config.ordering),
    onProgress(progress) {
      narrator.recovering(progress);
      http?.recovering(progress);
    },
  });
}

function durabilityOf({ kind, ...bounds }: Config['durability']): DurabilityChoice {
  return kind === 'synced' ? kind : buffered(bounds);
}

async function tellAll(events: AsyncIterable<NodeEvent>, narrator: Narrator): Promise<void> {
  for await (const event of events) {
    if (event.kind !== 'stopping' && event.kind !== 'stopped') narrator.happened(event);
  }
}

function serve(node: KeyValueNode, { redis }: Config): Promise<RedisServer> {
  const { passwordFile: _, password = null, ...options } = redis;
  return startRedisServer({
    ...options,
    password,
    ordering: node.ordering,
    info: () => nodeInfo(node),
    log: node,
    history: servedHistory(node),
    hold: () => node.hold(),
    checkpoints: servedCheckpoints(node),
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
