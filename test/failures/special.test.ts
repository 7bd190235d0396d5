// Failure classes 11, 15, 21 and 27: sockets, fifos and devices in layers, file watchers and locks over copy-up, odd
// directory modes.

import { once } from 'node:events';
import { watch } from 'node:fs';
import { connect, createServer } from 'node:net';
import t from 'tap';
import { eachKind, type Stage } from '../support/daemon-stage.js';

const layers = `cd l1; mkfifo fifo; mknod null c 1 3; mknod loop b 7 0; ln -s /nowhere link; echo x >file; mkdir d
  python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('sock')"`;

async function talk(path: string): Promise<string> {
  const server = createServer(peer => peer.end('hello')).listen(path);
  await once(server, 'listening');
  const client = connect(path);
  let heard = '';
  client.on('data', data => {
    heard += data;
  });
  await once(client, 'close');
  const closed = once(server, 'close');
  server.close();
  await closed;
  return heard;
}

void eachKind(t, 'unix sockets can be bound, connected, renamed and linked', { layers }, async stage => {
  const { t } = stage;
  t.equal(await talk(`${stage.mnt}/fresh.sock`), 'hello', 'a new socket');
  const refused = "s = socket.socket(socket.AF_UNIX); print(attempt(s.connect, 'sock'))";
  t.equal(stage.python(refused), 'ECONNREFUSED', 'a lower socket without a server');
  stage.in('rm sock');
  t.equal(await talk(`${stage.mnt}/sock`), 'hello', 'a server that starts again replaces it');
  t.equal(
    stage.python(`
s = socket.socket(socket.AF_UNIX); s.bind('a'); s.listen(); os.link('a', 'b'); os.rename('a', 'd/c'); os.chmod('b', 0o600)
for name in 'b', 'd/c': c = socket.socket(socket.AF_UNIX); c.connect(name); print(os.stat(name).st_nlink)`),
    '2\n2',
    'hard-linked, renamed and with another mode, a socket still leads to its server',
  );
});

void eachKind(t, 'fifos and device nodes work and are not copied up by opening them', { layers }, stage => {
  const { t } = stage;
  t.equal(
    stage.in('(echo through >fifo) & cat fifo; wait; echo gone >null; stat -c "%F %t,%T" null loop'),
    'through\ncharacter special file 1,3\nblock special file 7,0\n',
  );
  t.equal(stage.sh('find $U -mindepth 1'), '', 'the upper is empty');
  stage.in(
    'mv fifo f2; mv null d; chmod 600 loop; mknod zero c 1 5; (echo again >f2) & cat f2; wait; head -c 3 zero >file',
  );
  stage.mount();
  t.equal(
    stage.in('stat -c "%n %F %a" d/null f2 loop; stat -c %s file'),
    'd/null character special file 644\nf2 fifo 644\nloop block special file 600\n3\n',
  );
});

async function eventOf(stage: Stage, path: string, script: string): Promise<string> {
  const watcher = watch(`${stage.mnt}/${path}`);
  const seen = once(watcher, 'change');
  stage.in(script);
  const [event] = (await seen) as [string];
  watcher.close();
  return event;
}

void eachKind(t, 'file watchers see changes to lower files', { layers, interchange: true }, async stage => {
  const { t } = stage;
  const number = stage.in('stat -c %i file');
  t.equal(await eventOf(stage, 'd', 'touch d/new'), 'rename', 'a new name in a watched lower directory');
  t.equal(await eventOf(stage, '.', 'echo more >>file'), 'change', 'a lower file in a watched directory');
  t.equal(await eventOf(stage, 'file', 'echo again >>file'), 'change', 'the file itself');
  t.equal(stage.in('stat -c %i file'), number, 'and its inode number stays');
});

void eachKind(t, 'tail -f follows a lower file', { layers, interchange: true }, stage => {
  stage.t.equal(
    stage.in(
      'exec 9< <(exec tail -n 1 -F file); read -t 20 <&9; echo line >>file; read -t 20 seen <&9; kill $!; echo $seen',
    ),
    'line\n',
  );
});

void eachKind(t, 'locks on a lower file still exclude after it was copied up', { layers }, stage => {
  const { t } = stage;
  const other = (lock: string): string => `
pid = os.fork()
if pid == 0:
    print(attempt(fcntl.${lock}, os.open('file', os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB), flush=True); os._exit(0)
os.waitpid(pid, 0)`;
  for (const lock of ['flock', 'lockf']) {
    t.equal(
      stage.python(`
fd = os.open('file', ${lock === 'lockf' ? 'os.O_RDWR' : 'os.O_RDONLY'}); fcntl.${lock}(fd, fcntl.LOCK_EX)
os.system('echo copied up >>file')
${other(lock)}
fcntl.${lock}(fd, fcntl.LOCK_UN)
${other(lock)}`),
      'EAGAIN\nok',
      lock,
    );
  }
});

void eachKind(
  t,
  'read-only, sticky and set-group-id directories',
  {
    layers:
      'cd l1; mkdir ro sticky sgid; touch ro/f; chmod 555 ro; chmod 1777 sticky; touch sticky/roots; chgrp 42 sgid; chmod 2775 sgid',
  },
  stage => {
    const { t } = stage;
    stage.in('mkdir -m 0555 new; touch new/f ro/g; mkdir sgid/sub; touch sgid/file; chmod 777 .');
    t.equal(
      stage.in('stat -c "%n %a %g" new ro sgid sgid/sub sgid/file sticky'),
      'new 555 0\nro 555 0\nsgid 2775 42\nsgid/sub 2755 42\nsgid/file 644 42\nsticky 1777 0\n',
    );
    const nobody = 'setpriv --reuid 65534 --regid 65534 --clear-groups';
    t.match(
      stage.in(
        `${nobody} sh -c 'rm -f sticky/roots; touch ro/x; cat </dev/null >ro/f; mkdir new/x; chmod 700 sgid' 2>&1 || true`,
      ),
      /(not permitted[\s\S]*Permission denied[\s\S]*Permission denied[\s\S]*Permission denied[\s\S]*not permitted)/,
    );
    stage.in(`${nobody} sh -c 'echo >sticky/own; mkdir -m 555 mine; rm sticky/own; rmdir mine'`);
  },
);
