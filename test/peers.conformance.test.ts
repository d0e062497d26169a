/** One suite for every network between replicas (src/testing/peer-network-suite.ts). */

import { test } from 'node:test';
import { registerPeerNetworkSuite } from '../src/testing/peer-network-suite.ts';
import { Authority } from './support/peer-certificates.ts';
import { portSubject } from './support/peer-ports.ts';

registerPeerNetworkSuite({
  name: 'peers over tcp',
  test,
  open: () => Promise.resolve(portSubject(() => Promise.resolve({}))),
});

const authority = await Authority.create();
registerPeerNetworkSuite({
  name: 'peers over tls',
  test,
  open: () =>
    Promise.resolve(
      portSubject(async ({ clusterId, replica }) => ({
        tls: await authority.issue(`URI:tidemark:${clusterId}:${replica}`),
      })),
    ),
});
