// The loop of a channel without a kernel: when it looks, when it does without, and that the event loop gets its turn.
import t from 'tap';
import { Pump, type Source } from '../../src/fuse/pump.js';

/** A source whose requests are counted out by the test, and what it was asked. */
class Counted implements Source {
  readonly spins: number[] = [];
  left = 0;
  readonly pump: Pump;
  preempted = 0;
  /** Preemptions that a look costs. */
  cost = 0;
  /** Is something found by looking? */
  luck = false;
  leaves = 0;
  idle = true;
  putOff = 0;
  readonly order: string[] = [];

  constructor(spinMicros: number) {
    this.pump = new Pump(this, spinMicros, () => this.preempted);
  }

  take(spinMicros: number): number {
    this.spins.push(spinMicros);
    if (spinMicros > 0) this.preempted += this.cost;
    if (this.left === 0 && !(this.luck && spinMicros > 0)) return 0;
    if (this.left > 0) this.left--;
    return 1;
  }

  deliver(): boolean {
    this.order.push('request');
    return this.idle;
  }

  behind(): boolean {
    return this.putOff > 0;
  }

  catchUp(): void {
    this.order.push('late');
    this.putOff--;
  }

  leave(): void {
    this.leaves++;
  }

  /** One request comes and wakes the loop; how long it looked for the next one. */
  wakes(): number {
    this.left = 1;
    this.spins.length = 0;
    this.pump.wake();
    return this.spins.at(-1)!;
  }
}

t.test('it looks after an answer, and not before the first', async t => {
  const source = new Counted(40);
  t.equal(source.wakes(), 40);
  t.same(source.spins, [0, 40]);
});

t.test('it does not look while answers are outstanding, or when it must not', async t => {
  const source = new Counted(40);
  source.idle = false;
  t.equal(source.wakes(), 0);
  t.equal(new Counted(0).wakes(), 0);
});

t.test('after looks in vain it does without, then tries again', async t => {
  const source = new Counted(40);
  const looked = Array.from({ length: 100 }, () => source.wakes() > 0);
  t.same(looked.slice(0, 4), [true, true, true, true]);
  t.same(new Set(looked.slice(4, 35)), new Set([false]));
  t.ok(looked.slice(35, 40).includes(true));
});

t.test('what was put off is done when nothing comes', async t => {
  const source = new Counted(40);
  source.putOff = 1;
  source.left = 2;
  source.pump.wake();
  t.same(source.order, ['request', 'request', 'late']);
  t.same(source.spins, [0, 40, 40, 0]);
});

t.test('looks that cost others their CPU are given up', async t => {
  const source = new Counted(40);
  const lucky = (): boolean => {
    source.luck = true;
    const looked = source.wakes() > 0;
    source.luck = false;
    return looked;
  };
  t.ok(lucky());
  t.ok(lucky(), 'with a CPU to spare it goes on');
  source.cost = 1;
  lucky();
  const looked = Array.from({ length: 400 }, () => source.wakes() > 0);
  t.same(new Set(looked), new Set([false]));
});

t.test('the event loop gets its turn, and the loop goes on after it', async t => {
  const source = new Counted(0);
  source.left = 1000;
  source.pump.run();
  t.ok(source.left > 0);
  t.equal(source.leaves, 1, 'what waits to be sent is sent first');
  while (source.left > 0) await new Promise(resolve => setImmediate(resolve));
  t.ok(source.leaves > 1);
});

t.test('a stopped loop takes nothing', async t => {
  const source = new Counted(40);
  source.pump.stop();
  source.left = 1;
  source.pump.run();
  t.same(source.spins, []);
});
