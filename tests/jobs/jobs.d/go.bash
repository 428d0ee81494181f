# go build and go test of a program without dependencies.
# TIER: ci
# VOLATILE: gocache/*
# LOOSE: gocache/* tmp/* home/.config/go/*
go_env()
{
	export PATH=$PATH:/usr/local/go/bin
	export GOCACHE=$PWD/gocache GOPATH=$PWD/gopath GOFLAGS='-trimpath -buildvcs=false' GOTOOLCHAIN=local GOTELEMETRY=off GOPROXY=off GOENV=off CGO_ENABLED=0
}

prepare()
{
	go_env
	need go
	mkdir -p prog/sum
	cd prog
	cat >go.mod <<-'G'
		module example.org/prog
		go 1.21
	G
	cat >main.go <<-'G'
		package main
		import ("fmt"; "os"; "sync"; "example.org/prog/sum")
		func main() {
			var wg sync.WaitGroup
			for i := 0; i < 32; i++ {
				wg.Add(1)
				go func(n int) { defer wg.Done(); os.WriteFile(fmt.Sprintf("out%02d", n), []byte(fmt.Sprint(n)), 0o644); os.Stat("go.mod") }(i)
			}
			wg.Wait()
			e, _ := os.Executable()
			_, err := os.Stat(e)
			fmt.Println(sum.Of(1, 2, 3), err)
		}
	G
	printf 'package sum\nfunc Of(ns ...int) (t int) { for _, n := range ns { t += n }; return }\n' >sum/sum.go
	printf 'package sum\nimport "testing"\nfunc TestOf(t *testing.T) { if Of(2, 3) != 5 { t.Fatal() } }\n' >sum/sum_test.go
	GOCACHE=$(dirname "$PWD")/gocache go build -o /dev/null std >&2
	GOCACHE=$(dirname "$PWD")/gocache go vet ./... >&2
}

run()
{
	go_env
	cd prog
	go build -o prog .
	./prog
	go test ./... | sed 's/[0-9.]*s$//'
	go vet ./...
	ls
}
