/** Sockets as the server sees them (src/network/tcp.ts). */

import { strictEqual } from 'node:assert';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { Connection } from '../src/network/connection.ts';
import { listenTcp } from '../src/network/tcp.ts';

const nothing = (): void => undefined;

test('tcp: what is written when the other side is gone stays buffered until the close', async () => {
  let onClosed = nothing;
  const closed = new Promise<void>((resolve) => {
    onClosed = resolve;
  });
  let onAccepted: (connection: Connection) => void = nothing;
  const accepted = new Promise<Connection>((resolve) => {
    onAccepted = resolve;
  });
  const listener = await listenTcp({
    host: '127.0.0.1',
    port: 0,
    onConnection(connection) {
      onAccepted(connection);
      return { data: nothing, flushed: nothing, ended: nothing, closed: onClosed };
    },
  });
  const client = connect(listener.port, listener.host);
  const connection = await accepted;
  connection.destroy();
  for (const bytes of [1000, 2000]) {
    strictEqual(connection.write(new Uint8Array(1000)), false);
    strictEqual(connection.bufferedBytes, bytes);
  }
  await closed;
  client.destroy();
  await listener.close();
});
