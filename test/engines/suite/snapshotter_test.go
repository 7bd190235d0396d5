// containerd's own suite for snapshotters, against `lamina serve`: a process and a store of its own for each case.
package suite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	api "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/pkg/dialer"
	"github.com/containerd/containerd/pkg/testutil"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
)

// LAMINA holds the command up to and with `serve`, one word a line.
func serve(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
	socket := filepath.Join(root, "lamina.sock")
	words := strings.Split(os.Getenv("LAMINA"), "\n")
	words = append(words, "--root", filepath.Join(root, "lamina"), "--containerd", socket)
	command := exec.Command(words[0], words[1:]...)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() error {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return command.Wait()
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready") {
		return nil, nil, fmt.Errorf("lamina serve said %q (%v), and ended: %v", line, err, stop())
	}
	connection, err := grpc.DialContext(ctx, dialer.DialAddress(socket),
		grpc.WithInsecure(),
		grpc.WithContextDialer(dialer.ContextDialer),
		// A bare path as :authority is refused by Node's HTTP/2.
		grpc.WithAuthority("localhost"))
	if err != nil {
		return nil, nil, fmt.Errorf("%v, and it ended: %v", err, stop())
	}
	snapshotter := proxy.NewSnapshotter(api.NewSnapshotsClient(connection), "lamina")
	return snapshotter, func() error {
		connection.Close()
		return stop()
	}, nil
}

func TestLamina(t *testing.T) {
	testutil.RequiresRoot(t)
	testsuite.SnapshotterSuite(t, "lamina", serve)
}
