// PostgreSQL on Docker: an image made of what Debian's package has installed, a database in a named volume, and a second
// container that finds it there.
import type { Step } from './docker-life.js';

const BIN = '/usr/lib/postgresql/15/bin';
const LIB = '/usr/lib/postgresql/15/lib';

/** Builds postgres:1 on base:1: the programs, what they link to, and their data. */
const IMAGE = `mkdir -p pg/own/var/lib/pg pg/own/run/postgresql
chown 100:101 pg/own/var/lib/pg pg/own/run/postgresql
libs=$(ldd ${BIN}/postgres ${BIN}/initdb ${BIN}/psql | grep -o '/[^ :]*\\.so[^ :]*' | sort -u)
tar -cPhf pg/files.tar ${BIN} ${LIB}/dict_snowball.so ${LIB}/plpgsql.so /usr/share/postgresql/15 /usr/share/zoneinfo/UTC $libs
tar -C pg/own -rf pg/files.tar .
cat >pg/Dockerfile <<'END'
FROM base:1
ADD files.tar /
RUN echo 'postgres:x:100:101::/var/lib/pg:/bin/sh' >>/etc/passwd && echo 'postgres:x:101:' >>/etc/group
ENV PATH=${BIN}:/bin
USER postgres
CMD initdb -D /var/lib/pg/data --locale=C -E UTF8 -A trust --no-sync >/dev/null || true; exec postgres -D /var/lib/pg/data -c listen_addresses= -c unix_socket_directories=/run/postgresql -c timezone=UTC -c log_timezone=UTC
END
$D build -q -t postgres:1 pg`;

const UP = (
  name: string,
) => `$D run -d --name ${name} --network none --shm-size 64m -v pgdata:/var/lib/pg postgres:1 >/dev/null
until $D exec ${name} psql -qtA -h /run/postgresql -d postgres -c 'select 1' >/dev/null 2>&1; do
  test "$($D inspect -f '{{.State.Running}}' ${name})" = true || { $D logs ${name}; exit 1; }; sleep 0.1; done`;
const SQL = (name: string) => `$D exec -i ${name} psql -qtA -h /run/postgresql -d postgres`;

export const POSTGRES: readonly Step[] = [
  {
    name: 'PostgreSQL’s container is replaced, its data is there',
    script: `${IMAGE} >/dev/null
      $D volume create -d $V $PGOPTS pgdata; ${UP('pg1')}
      echo "create table t as select g as id, md5(g::text) as text from generate_series(1, 20000) g; create index on t(text); checkpoint; update t set text = 'changed' where id = 7;" | ${SQL('pg1')}
      $D rm -f pg1; ${UP('pg2')}
      echo "select count(*), (select text from t where id = 7) from t; select count(*) from t where text = md5('12345');" | ${SQL('pg2')}
      $D exec pg2 sh -c 'stat -c "%u:%g %a" /var/lib/pg/data'
      $D stop -t 20 pg2; $D rm pg2; $D volume rm pgdata; $D rmi postgres:1 >/dev/null`,
    shows: /20000\|changed\n1\n100:101 700/,
  },
];
