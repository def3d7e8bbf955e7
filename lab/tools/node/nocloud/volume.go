package nocloud

import (
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf16"
)

// IsSeedLabel tells whether a volume with this label is a seed: exactly `cidata` or `CIDATA`.
func IsSeedLabel(label string) bool { return label == "cidata" || label == "CIDATA" }

const (
	sectorSize       = 2048
	firstDescriptor  = 16
	lastDescriptor   = 32
	descriptorEnd    = 255
	descriptorJoliet = 2
	descriptorMain   = 1
)

// ISOLabel returns the label of an ISO 9660 volume ("" when it is none); a Joliet descriptor's label beats the primary one.
func ISOLabel(r io.ReaderAt) string {
	var main string

	sector := make([]byte, sectorSize)

	for i := int64(firstDescriptor); i < lastDescriptor; i++ {
		if _, err := r.ReadAt(sector, i*sectorSize); err != nil || string(sector[1:6]) != "CD001" {
			return main
		}

		switch sector[0] {
		case descriptorMain:
			main = strings.TrimRight(string(sector[40:72]), " \x00")
		case descriptorJoliet:
			if !isJoliet(sector[88:120]) {
				continue
			}

			units := make([]uint16, 16)
			for j := range units {
				units[j] = binary.BigEndian.Uint16(sector[40+2*j:])
			}

			return strings.TrimRight(string(utf16.Decode(units)), " \x00")
		case descriptorEnd:
			return main
		}
	}

	return main
}

func isJoliet(escapes []byte) bool {
	return escapes[0] == '%' && escapes[1] == '/' && (escapes[2] == '@' || escapes[2] == 'C' || escapes[2] == 'E')
}
