package relay

import "net"

// Forward sends a frame to the shore.
func Forward(frame []byte, shore net.Conn) error {
	_, err := shore.Write(frame)
	return err
}

type Station struct{ Name string }

func (s *Station) Key() string { return "K-" + s.Name }
