package api

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	timeapi "github.com/siderolabs/talos/pkg/machinery/api/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"google.golang.org/protobuf/types/known/emptypb"
)

func numbers(fields []string) func(int) uint64 {
	return func(i int) uint64 {
		if i >= len(fields) {
			return 0
		}

		n, _ := strconv.ParseUint(fields[i], 10, 64) // the kernel writes numbers

		return n
	}
}

type storageService struct {
	storage.UnimplementedStorageServiceServer
	s *Server
}

// Disks implements storage.StorageService.
func (d *storageService) Disks(ctx context.Context, _ *emptypb.Empty) (*storage.DisksResponse, error) {
	system, err := safe.StateGetByID[*block.SystemDisk](ctx, d.s.State, block.SystemDiskID)
	if err != nil && !state.IsNotFoundError(err) {
		return nil, err
	}

	disks, err := safe.StateListAll[*block.Disk](ctx, d.s.State)
	if err != nil {
		return nil, err
	}

	return &storage.DisksResponse{Messages: []*storage.Disks{{Disks: safe.ToSlice(disks, func(r *block.Disk) *storage.Disk {
		spec, kind := r.TypedSpec(), storage.Disk_UNKNOWN

		switch {
		case spec.CDROM:
			kind = storage.Disk_CD
		case spec.Rotational:
			kind = storage.Disk_HDD
		case spec.Transport != "":
			kind = storage.Disk_SSD
		}

		return &storage.Disk{
			DeviceName: filepath.Join("/dev", r.Metadata().ID()), Model: spec.Model, Size: spec.Size, Serial: spec.Serial, Modalias: spec.Modalias, Wwid: spec.WWID,
			Uuid: spec.UUID, Type: kind, BusPath: spec.BusPath, SystemDisk: system != nil && system.TypedSpec().DiskID == r.Metadata().ID(),
			Subsystem: spec.SubSystem, Readonly: spec.Readonly,
		}
	})}}}, nil
}

// timeService answers Unimplemented, with the method's name: the lab has no time server.
type timeService struct {
	timeapi.UnimplementedTimeServiceServer
	s *Server // like its siblings
}
