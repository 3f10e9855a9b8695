// The hub of gorilla/websocket's chat example as a relay: a goroutine reads, one writes, one hub between.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

const (
	writeWait  = 10 * time.Second
	pongWait   = 60 * time.Second
	pingPeriod = 54 * time.Second
	queue      = 256
)

type event struct {
	Type        string          `json:"type"`
	SessionID   string          `json:"session_id"`
	Step        string          `json:"step,omitempty"`
	Message     string          `json:"message,omitempty"`
	Progress    *float64        `json:"progress,omitempty"`
	CurrentItem string          `json:"current_item,omitempty"`
	TotalItems  int             `json:"total_items,omitempty"`
	Timestamp   float64         `json:"timestamp"`
	Data        json.RawMessage `json:"data,omitempty"`
	Seq         uint64          `json:"seq"`
}

type viewer struct {
	hub  *hub
	conn *websocket.Conn
	send chan []byte
}

type hub struct {
	viewers              map[*viewer]struct{}
	events               chan []byte
	arriving, departing chan *viewer
}

var upgrader = websocket.Upgrader{
	ReadBufferSize:  1024,
	WriteBufferSize: 1024,
	CheckOrigin:     func(*http.Request) bool { return true },
}

func (h *hub) run() {
	for {
		select {
		case v := <-h.arriving:
			h.viewers[v] = struct{}{}
		case v := <-h.departing:
			h.drop(v)
		case body := <-h.events:
			for v := range h.viewers {
				select {
				case v.send <- body:
				default: // the example's way with a viewer whose queue is full
					h.drop(v)
				}
			}
		}
	}
}

func (h *hub) drop(v *viewer) {
	if _, known := h.viewers[v]; known {
		delete(h.viewers, v)
		close(v.send)
	}
}

func (v *viewer) read() {
	defer func() {
		v.hub.departing <- v
		v.conn.Close()
	}()
	v.conn.SetReadDeadline(time.Now().Add(pongWait))
	v.conn.SetPongHandler(func(string) error { return v.conn.SetReadDeadline(time.Now().Add(pongWait)) })
	for {
		if _, _, err := v.conn.ReadMessage(); err != nil {
			return
		}
	}
}

func (v *viewer) write() {
	ticker := time.NewTicker(pingPeriod)
	defer func() {
		ticker.Stop()
		v.conn.Close()
	}()
	for {
		select {
		case body, open := <-v.send:
			v.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if !open {
				v.conn.WriteMessage(websocket.CloseMessage, nil)
				return
			}
			if v.conn.WriteMessage(websocket.TextMessage, body) != nil {
				return
			}
		case <-ticker.C:
			v.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if v.conn.WriteMessage(websocket.PingMessage, nil) != nil {
				return
			}
		}
	}
}

func main() {
	h := &hub{map[*viewer]struct{}{}, make(chan []byte), make(chan *viewer), make(chan *viewer)}
	go h.run()
	http.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		v := &viewer{h, conn, make(chan []byte, queue)}
		h.arriving <- v
		go v.write()
		go v.read()
	})
	var seq uint64
	http.HandleFunc("/pub", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			_, raw, err := conn.ReadMessage()
			if err != nil {
				return
			}
			var e event
			if json.Unmarshal(raw, &e) != nil || e.Type == "" || e.SessionID == "" {
				continue
			}
			seq++
			e.Seq = seq
			if body, err := json.Marshal(&e); err == nil {
				h.events <- body
			}
		}
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
