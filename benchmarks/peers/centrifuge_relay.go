// The Centrifuge library as a relay: its in-memory broker, one channel, every viewer subscribed by the server.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"

	"github.com/centrifugal/centrifuge"
	"github.com/gorilla/websocket"
)

const channel = "s1"

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

func main() {
	config := centrifuge.DefaultConfig
	config.ClientQueueMaxSize = 10 << 20 // its default of 1 MiB cuts viewers off in the saturated runs
	node, err := centrifuge.New(config)
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Subscriptions: map[string]centrifuge.SubscribeOptions{channel: {}},
		}, nil
	})
	node.OnConnect(func(*centrifuge.Client) {})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	anyone := func(*http.Request) bool { return true }
	viewers := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin:        anyone,
		ReadBufferSize:     1024,
		UseWriteBufferPool: true,
	})
	http.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		viewers.ServeHTTP(w, r.WithContext(centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{})))
	})
	upgrader := websocket.Upgrader{CheckOrigin: anyone}
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
			body, err := json.Marshal(&e)
			if err == nil {
				_, err = node.Publish(channel, body)
			}
			if err != nil {
				log.Println(err)
			}
		}
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
