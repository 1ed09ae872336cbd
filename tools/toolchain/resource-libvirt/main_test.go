package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

const storageVolDownload = 209

// hypervisor answers each call with zeros, and a download with a stream behind whose end is an error, as libvirtd's can be.
func hypervisor(connection net.Conn) {
	for {
		var length uint32
		var header socket.Header
		if binary.Read(connection, binary.BigEndian, &length) != nil ||
			binary.Read(connection, binary.BigEndian, &header) != nil {
			return
		}
		arguments := int64(length) - int64(binary.Size(length)+binary.Size(header))
		if _, err := io.CopyN(io.Discard, connection, arguments); err != nil {
			return
		}
		var answer bytes.Buffer
		add := func(kind, status uint32, payload string) {
			header.Type, header.Status = kind, status
			size := binary.Size(length) + binary.Size(header) + len(payload)
			_ = binary.Write(&answer, binary.BigEndian, uint32(size))
			_ = binary.Write(&answer, binary.BigEndian, header)
			answer.WriteString(payload)
		}
		add(socket.Reply, socket.StatusOK, "\x00\x00\x00\x00\x00\x00\x00\x00")
		if header.Procedure == storageVolDownload {
			add(socket.Stream, socket.StatusContinue, "content")
			add(socket.Stream, socket.StatusContinue, "")
			add(socket.Stream, socket.StatusError, "")
		}
		if _, err := connection.Write(answer.Bytes()); err != nil {
			return
		}
	}
}

func TestAnErrorBehindTheEndOfADownloadDoesNotHangItsConnection(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go hypervisor(server)
	connection := libvirt.NewWithDialer(dialers.NewAlreadyConnected(client))
	ended := make(chan error, 1)
	var content bytes.Buffer
	go func() {
		ended <- func() error {
			if err := connection.Connect(); err != nil {
				return err
			}
			for range 100 {
				content.Reset()
				if err := connection.StorageVolDownload(libvirt.StorageVol{}, &content, 0, 0, 0); err != nil {
					return err
				}
			}
			_, err := connection.ConnectGetLibVersion()
			return err
		}()
	}()
	select {
	case err := <-ended:
		if err != nil || content.String() != "content" {
			t.Fatal(err, content.String())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the connection hangs")
	}
}
