import { machine, open, Rejection, table } from 'tidemark';

const bank = machine({
  tables: { accounts: table<number>() },
  commands: {
    deposit({ accounts }, { to, amount }: { to: string; amount: number }) {
      accounts.set(to, (accounts.get(to) ?? 0) + amount);
    },
    transfer({ accounts }, { from, to, amount }: { from: string; to: string; amount: number }) {
      accounts.set(from, (accounts.get(from) ?? 0) - amount);
      if (accounts.get(from)! < 0) throw new Rejection('insufficient funds'); // all of it is undone
      accounts.set(to, (accounts.get(to) ?? 0) + amount);
    },
  },
  queries: { balance: ({ accounts }, who: string) => accounts.get(who) ?? 0 },
});

await using node = await open({ machine: bank, dir: './bank-data' });
await node.submit('deposit', { to: 'alice', amount: 100 }); // resolves once it is durable
await node.submit('transfer', { from: 'alice', to: 'bob', amount: 30 });
console.log(await node.query('balance', 'bob')); // prints 30
