// A client of HTTP, linked statically: fetch NAME PORT. Prints the status, or what failed. The resolver and the way to system calls are Go's own.
package main

import (
	"net"
	"os"
)

func fail(err error) {
	os.Stdout.WriteString(err.Error() + "\n")
	os.Exit(1)
}

func main() {
	c, err := net.Dial("tcp", net.JoinHostPort(os.Args[1], os.Args[2]))
	if err != nil {
		fail(err)
	}
	if _, err = c.Write([]byte("GET / HTTP/1.0\r\nHost: " + os.Args[1] + "\r\n\r\n")); err != nil {
		fail(err)
	}
	text := make([]byte, 512)
	n, err := c.Read(text)
	if err != nil || n < 12 {
		fail(err)
	}
	os.Stdout.Write(text[9:12]) // of "HTTP/1.1 200 OK"
}
