// Random conversations (fuzz.ts) with one server, several at a time, for a few seconds. A failure names its seed, and
// LAMINA_SEED=N begins with it. By hand: LAMINA_MESSAGES=1000000 npx tap --timeout=0 test/nbd/fuzz.test.ts
import t from 'tap';
import { NbdServer } from '../../src/nbd/index.js';
import { scratch } from '../support/cleanup.js';
import { Client } from './client.js';
import { until } from './fixture.js';
import { Conversation, fuzzDevice } from './fuzz.js';

const FIRST = Number(process.env.LAMINA_SEED ?? Date.now() % 1_000_000);
const MESSAGES = Number(process.env.LAMINA_MESSAGES ?? Number.POSITIVE_INFINITY);
const MILLISECONDS = process.env.LAMINA_MESSAGES === undefined ? 2500 : Number.POSITIVE_INFINITY;
const AT_A_TIME = 4;

t.test(`from seed ${FIRST}`, async t => {
  const path = `${scratch(t, 'nbd-fuzz').dir}/socket`;
  const errors: unknown[] = [];
  const server = new NbdServer(() => [{ name: 'disk', description: '', open: fuzzDevice }], {
    onError: error => errors.push(error),
  });
  await server.listen({ path });
  t.teardown(() => server.close());
  let seed = FIRST;
  let messages = 0;
  const end = performance.now() + MILLISECONDS;
  const converse = async (): Promise<void> => {
    while (messages < MESSAGES && performance.now() < end) {
      const client = await Client.open(path);
      const conversation = new Conversation(seed++, client);
      try {
        await conversation.run();
      } catch (error) {
        throw new Error(`seed ${conversation.seed}: ${error}`, { cause: error });
      } finally {
        client.close();
        messages += conversation.messages;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, converse));
  await until(() => server.connected === 0, 'all are gone');
  t.comment(`${seed - FIRST} conversations, ${messages} messages`);
  t.ok(messages > 1000, 'enough was said');
  t.equal(server.memory, 0);
  t.same(errors, []);
});
