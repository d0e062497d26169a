/**
 * Replicas under TLS, and what is refused without it. Goal: nobody passes for a replica without a certificate
 * that names it. Method: real ports, certificates of authorities made for the run.
 */

import { match, ok, rejects, strictEqual, throws } from 'node:assert';
import { connect as connectTcp } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { isTidemarkError } from '../src/base/errors.ts';
import { encodeFrame } from '../src/network/peer-frame.ts';
import { encodeHello } from '../src/network/peer-hello.ts';
import type { PeerAddress, RefusalReason } from '../src/network/peer-network.ts';
import { type PeerOptions, type PeerTls, resolvePeerOptions } from '../src/network/peer-options.ts';
import { Authority } from './support/peer-certificates.ts';
import { CLUSTER, HOST, identityOf, openReplica, type PortReplica, until } from './support/peer-ports.ts';

const authority = await Authority.create();
const stranger = await Authority.create();

const nameOf = (replica: number, cluster = CLUSTER): string => `URI:tidemark:${cluster}:${replica}`;

/** A replica that is gone after the test. */
async function open(
  t: TestContext,
  replica: number,
  tls: PeerTls | null,
  options: Partial<PeerOptions> = {},
): Promise<PortReplica> {
  const opened = await openReplica(identityOf(replica), { ...options, ...(tls === null ? {} : { tls }) });
  t.after(() => opened.network.close());
  return opened;
}

function introduce(one: PortReplica, other: PortReplica): void {
  one.network.setPeers([other.address]);
  other.network.setPeers([one.address]);
}

async function refuses(target: PortReplica, reason: RefusalReason): Promise<void> {
  await until(`${reason} is told`, () =>
    target.events.some((event) => event.kind === 'peer-refused' && event.refusal === reason),
  );
  ok(target.network.refusals()[reason] > 0);
}

for (const [what, name] of [
  ['another replica', nameOf(3)],
  ['a replica of another cluster', nameOf(2, 'ff'.repeat(16))],
  ['a computer', 'DNS:localhost'],
] as const) {
  test(`peers tls: a certificate that names ${what} is none`, async (t) => {
    const one = await open(t, 1, await authority.issue(nameOf(1)));
    const liar = await open(t, 2, await authority.issue(name), { certificateName: name });
    introduce(one, liar);
    await refuses(one, 'certificate');
    strictEqual(one.network.peers()[0]!.isReachable, false);
    strictEqual(liar.network.peers()[0]!.isReachable, false);
  });
}

test('peers tls: a certificate with the name inside of another name is none', async (t) => {
  const one = await open(t, 1, await authority.issue(nameOf(1)));
  one.network.setPeers([{ replica: 2, host: HOST, port: 1 }]);
  const tls = await authority.issue(`URI:https://x/, ${nameOf(2)}, URI:y`);
  const hello = { ...identityOf(2), protocolMin: 1, protocolMax: 1, to: 1, instance: '00'.repeat(16) };
  const socket = connect({
    ...tls,
    port: one.network.port,
    host: HOST,
    checkServerIdentity: () => undefined,
  });
  t.after(() => socket.destroy());
  socket.on('error', () => undefined);
  socket.write(encodeFrame('hello', encodeHello(hello)));
  await refuses(one, 'certificate');
  const [event] = one.events;
  strictEqual(event?.kind === 'peer-refused' && event.replica, 2); // Its hello was read.
});

test('peers tls: a certificate of another authority is none, on either side', async (t) => {
  const one = await open(t, 1, await authority.issue(nameOf(1)));
  const two = await open(t, 2, await stranger.issue(nameOf(2)));
  introduce(one, two);
  await refuses(one, 'certificate');
  await refuses(two, 'certificate');
  await until('the line says why', () => one.network.peers()[0]!.failure !== null);
  match(one.network.peers()[0]!.reason!, /^refused it: certificate: .+/);
  strictEqual(one.network.peers()[0]!.failure!.code, 'TIDEMARK_PEER_REFUSED');
});

test('peers tls: a certificate that has expired is none', async (t) => {
  const [notBeforeDate, notAfterDate] = [new Date('2020-01-01'), new Date('2020-02-01')];
  const one = await open(t, 1, await authority.issue(nameOf(1)));
  const two = await open(t, 2, await authority.issue(nameOf(2), { notBeforeDate, notAfterDate }));
  introduce(one, two);
  await refuses(one, 'certificate');
  strictEqual(one.network.peers()[0]!.isReachable, false);
});

test('peers tls: who shows no certificate, speaks an older TLS or none is refused', async (t) => {
  const one = await open(t, 1, await authority.issue(nameOf(1)));
  const { ca, cert, key } = await authority.issue(nameOf(2));
  const port = one.network.port;
  const options = { port, host: HOST, ca, checkServerIdentity: () => undefined };
  for (const attempt of [
    () => connect(options),
    () => connect({ ...options, cert, key, maxVersion: 'TLSv1.2' }),
    () => connectTcp(port, HOST).end('no TLS at all, and long enough for a record of it'),
  ]) {
    const before = one.network.refusals().certificate;
    const socket = attempt();
    socket.on('error', () => undefined);
    socket.on('data', () => undefined);
    await until('it is refused', () => one.network.refusals().certificate > before);
    socket.destroy();
  }
});

test('peers tls: handshakes that are begun and left keep nobody out', async (t) => {
  const one = await open(t, 1, await authority.issue(nameOf(1)), { greetingMsMax: 600_000 });
  const idle = Array.from({ length: 400 }, () => connectTcp(one.network.port, HOST));
  t.after(() => idle.forEach((socket) => socket.destroy()));
  for (const socket of idle) socket.on('error', () => undefined).resume();
  const isClosed = (): number => idle.filter((socket) => socket.destroyed).length;
  await until('the oldest were given up', () => isClosed() >= 400 - 256);
  const two = await open(t, 2, await authority.issue(nameOf(2)));
  introduce(one, two);
  await until('a newcomer gets in', () => two.network.peers()[0]!.isReachable);
  ok(isClosed() < 400, 'the others are waited for');
});

test('peers tls: a name of an operator stands for a replica', async (t) => {
  const names = ['DNS:node1.example.org', 'DNS:node2.example.org'];
  const replicas = await Promise.all(
    names.map(async (name, at) => open(t, at + 1, await authority.issue(name), { certificateName: name })),
  );
  const addresses: PeerAddress[] = replicas.map(({ address }, at) => ({
    ...address,
    certificateName: names[at]!,
  }));
  replicas[0]!.network.setPeers([addresses[1]!]);
  replicas[1]!.network.setPeers([addresses[0]!]);
  await until('they are connected', () => replicas.every(({ network }) => network.peers()[0]!.isReachable));
});

test('peers tls: a replica without TLS does not reach one with it, nor the other way', async (t) => {
  const one = await open(t, 1, await authority.issue(nameOf(1)));
  const two = await open(t, 2, null, { greetingMsMax: 500 });
  introduce(one, two);
  await refuses(one, 'certificate');
  await refuses(two, 'garbled');
  strictEqual(one.network.peers()[0]!.isReachable, false);
  strictEqual(two.network.peers()[0]!.isReachable, false);
});

test('peers tls: a replica is not opened with a certificate that is not its own, or none', async () => {
  const own = await authority.issue(nameOf(1));
  const other = await authority.issue(nameOf(2));
  for (const tls of [
    other,
    { ...own, key: other.key },
    { ...own, cert: 'no PEM' },
    { ...own, ca: 'no PEM' },
    { ...own, key: '' },
  ]) {
    await rejects(openReplica(identityOf(1), { tls }), (error) =>
      isTidemarkError(error, 'TIDEMARK_OPTION_INVALID'),
    );
  }
});

test('peers: beyond this machine only with TLS, or where it is said to be safe', async (t) => {
  const tls = await authority.issue(nameOf(1));
  const isRefused = (error: unknown): boolean =>
    isTidemarkError(error, 'TIDEMARK_OPTION_INVALID') && error.remedy === 'fix-call';
  for (const host of ['0.0.0.0', '::', '192.168.1.1', 'example.org', '127.0.0.1.example.org']) {
    throws(() => resolvePeerOptions({ host, port: 1 }), isRefused);
    strictEqual(resolvePeerOptions({ host, port: 1, tls }).host, host);
    strictEqual(resolvePeerOptions({ host, port: 1, insecure: true }).host, host);
  }
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) {
    strictEqual(resolvePeerOptions({ host, port: 1 }).host, host);
  }
  const one = await open(t, 1, null);
  throws(() => one.network.setPeers([{ replica: 2, host: '192.168.1.1', port: 1 }]), isRefused);
  strictEqual(one.network.peers().length, 0);
});

test('peers: options that cannot work are refused by name', () => {
  for (const wrong of [
    { port: -1 },
    { port: 1, frameBytesMax: 1000 },
    { port: 1, windowBytes: 1000 },
    { port: 1, pingMs: 1000, silenceMsMax: 1500 },
    { port: 1, unknown: 1 },
  ]) {
    throws(
      () => resolvePeerOptions(wrong),
      (error) => isTidemarkError(error, 'TIDEMARK_OPTION_INVALID'),
    );
  }
});
