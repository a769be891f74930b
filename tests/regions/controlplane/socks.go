// A SOCKS5 proxy (RFC 1928) without authentication: whoever connects through it stands where it runs.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// The replies of RFC 1928, section 6.
const (
	succeeded          = 0
	failure            = 1
	networkUnreachable = 3
	hostUnreachable    = 4
	connectionRefused  = 5
	unknownCommand     = 7
	unknownAddress     = 8
)

func serveSocks(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			_ = forward(ctx, client)
		}()
	}
}

// forward does what one client asks for, and copies both ways until both have ended.
func forward(ctx context.Context, client net.Conn) error {
	to, code, err := asked(client)
	if err != nil {
		return err
	}
	var there net.Conn
	if code == succeeded {
		dialer := net.Dialer{Timeout: 10 * time.Second}
		there, err = dialer.DialContext(ctx, "tcp", to.String())
		code = reply(err)
	}
	if _, err := client.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil || there == nil {
		return err
	}
	defer there.Close()
	done := make(chan struct{}, 2)
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.(*net.TCPConn).CloseWrite()
		done <- struct{}{}
	}
	go pipe(there, client)
	go pipe(client, there)
	<-done
	<-done
	return nil
}

// asked reads the greeting and the request.
func asked(client net.Conn) (to netip.AddrPort, code byte, err error) {
	_ = client.SetReadDeadline(time.Now().Add(10 * time.Second))
	defer client.SetReadDeadline(time.Time{})
	buffer := make([]byte, 256)
	if _, err = io.ReadFull(client, buffer[:2]); err != nil {
		return
	}
	if _, err = io.ReadFull(client, buffer[:buffer[1]]); err != nil {
		return
	}
	if _, err = client.Write([]byte{5, 0}); err != nil {
		return
	}
	if _, err = io.ReadFull(client, buffer[:4]); err != nil {
		return
	}
	length := map[byte]int{1: 4, 4: 16}[buffer[3]]
	if buffer[1] != 1 {
		return to, unknownCommand, nil
	}
	if length == 0 {
		return to, unknownAddress, nil
	}
	if _, err = io.ReadFull(client, buffer[:length+2]); err != nil {
		return
	}
	host, _ := netip.AddrFromSlice(buffer[:length])
	return netip.AddrPortFrom(host, binary.BigEndian.Uint16(buffer[length:])), succeeded, nil
}

// reply is what a failure to connect is in the protocol.
func reply(err error) byte {
	switch {
	case err == nil:
		return succeeded
	case errors.Is(err, syscall.ECONNREFUSED):
		return connectionRefused
	case errors.Is(err, syscall.EHOSTUNREACH):
		return hostUnreachable
	case errors.Is(err, syscall.ENETUNREACH):
		return networkUnreachable
	default:
		return failure
	}
}
