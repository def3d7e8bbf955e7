// Command machineconfig generates, patches and validates machine configs with the packages of one Talos
// minor, as talosctl of that minor does with the same arguments:
//
//	gen secrets --talos-version V --output-file F
//	gen config NAME ENDPOINT --flag=value...
//	machineconfig patch FILE --patch=@FILE... --output=FILE
//	validate --mode=cloud --config=FILE
//
// One source, and a module file for each minor beside it: all have the same import paths.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
	"gopkg.in/yaml.v3"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) > 2 && args[0] == "gen" && args[1] == "secrets":
		return genSecrets(args[2:])
	case len(args) > 4 && args[0] == "gen" && args[1] == "config":
		return genConfig(args[2], args[3], args[4:])
	case len(args) > 3 && args[0] == "machineconfig" && args[1] == "patch":
		return patch(args[2], args[3:])
	case len(args) > 1 && args[0] == "validate":
		return validate(args[1:])
	default:
		return fmt.Errorf("not a command: %v", args)
	}
}

func genSecrets(args []string) error {
	flags := flag.NewFlagSet("gen secrets", flag.ContinueOnError)
	version := flags.String("talos-version", "", "")
	output := flags.String("output-file", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	contract, err := config.ParseContractFromVersion(*version)
	if err != nil {
		return err
	}
	bundle, err := secrets.NewBundle(secrets.NewFixedClock(time.Now()), contract)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(bundle)
	if err != nil {
		return err
	}
	return os.WriteFile(*output, text, 0o600)
}

func genConfig(name, endpoint string, args []string) error {
	flags := flag.NewFlagSet("gen config", flag.ContinueOnError)
	withSecrets := flags.String("with-secrets", "", "")
	types := flags.String("output-types", "", "")
	output := flags.String("output", "", "")
	version := flags.String("talos-version", "", "")
	kubernetes := flags.String("kubernetes-version", "", "")
	disk := flags.String("install-disk", "", "")
	image := flags.String("install-image", "", "")
	sans := flags.String("additional-sans", "", "")
	flags.Bool("with-docs", false, "")
	flags.Bool("with-examples", false, "")
	flags.Bool("force", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	contract, err := config.ParseContractFromVersion(*version)
	if err != nil {
		return err
	}
	bundle, err := secrets.LoadBundle(*withSecrets)
	if err != nil {
		return err
	}
	if err := validateSecrets(bundle, contract); err != nil {
		return err
	}
	input, err := generate.NewInput(
		name, endpoint, *kubernetes,
		generate.WithVersionContract(contract),
		generate.WithSecretsBundle(bundle),
		generate.WithInstallDisk(*disk),
		generate.WithInstallImage(*image),
		generate.WithAdditionalSubjectAltNames(strings.Split(*sans, ",")),
		generate.WithClusterDiscovery(true),
	)
	if err != nil {
		return err
	}
	for role := range strings.SplitSeq(*types, ",") {
		kind, err := machine.ParseType(role)
		if err != nil {
			return err
		}
		provider, err := input.Config(kind)
		if err != nil {
			return err
		}
		text, err := provider.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(*output, role+".yaml"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// validateSecrets checks secrets by a contract's rules, which Talos has since 1.14.
func validateSecrets(bundle any, contract *config.VersionContract) error {
	type checked interface {
		Validate(*config.VersionContract) error
	}
	if bundle, ok := bundle.(checked); ok {
		return bundle.Validate(contract)
	}
	return nil
}

type list []string

func (l *list) String() string         { return strings.Join(*l, ",") }
func (l *list) Set(value string) error { *l = append(*l, value); return nil }

func patch(file string, args []string) error {
	flags := flag.NewFlagSet("machineconfig patch", flag.ContinueOnError)
	var patches list
	flags.Var(&patches, "patch", "")
	output := flags.String("output", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	loaded, err := configpatcher.LoadPatches(patches)
	if err != nil {
		return err
	}
	patched, err := configpatcher.Apply(configpatcher.WithBytes(text), loaded)
	if err != nil {
		return err
	}
	text, err = patched.Bytes()
	if err != nil {
		return err
	}
	return os.WriteFile(*output, text, 0o600)
}

func validate(args []string) error {
	flags := flag.NewFlagSet("validate", flag.ContinueOnError)
	mode := flags.String("mode", "", "")
	file := flags.String("config", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *mode != "cloud" {
		return errors.New("only mode cloud is known")
	}
	provider, err := configloader.NewFromFile(*file)
	if err != nil {
		return err
	}
	warnings, err := asClient(provider)(cloud{}, validation.WithLocal())
	for _, warning := range warnings {
		fmt.Fprintln(os.Stderr, "WARNING:", warning)
	}
	return err
}

type validator = func(validation.RuntimeMode, ...validation.Option) ([]string, error)

// asClient is the validation that talosctl does: one of its own since 1.14.
func asClient(provider config.Provider) validator {
	type own interface {
		ValidateAsClient(validation.RuntimeMode, ...validation.Option) ([]string, error)
	}
	if provider, ok := provider.(own); ok {
		return provider.ValidateAsClient
	}
	return provider.Validate
}

// cloud is talosctl's mode of that name, which is not for others to import.
type cloud struct{}

func (cloud) String() string        { return "cloud" }
func (cloud) RequiresInstall() bool { return false }
func (cloud) InContainer() bool     { return false }
