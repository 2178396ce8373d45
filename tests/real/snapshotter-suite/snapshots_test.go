// Judges a door of containerd.services.snapshots.v1 by containerd's own suite. LAGAN_SNAPSHOTS is its socket.
package snapshots

import (
	"context"
	"os"
	"testing"

	api "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func TestDoor(t *testing.T) {
	socket := os.Getenv("LAGAN_SNAPSHOTS")
	connection, err := grpc.Dial("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	// The cases run side by side, after this function has ended.
	t.Cleanup(func() { connection.Close() })
	client := api.NewSnapshotsClient(connection)
	testsuite.SnapshotterSuite(t, "lagan", func(_ context.Context, _ string) (snapshots.Snapshotter, func() error, error) {
		return proxy.NewSnapshotter(client, "lagan"), func() error { return nil }, nil
	})
}
